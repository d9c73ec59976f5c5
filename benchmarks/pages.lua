-- wrk's side of a measurement of pages. Arguments: the paths to ask for, in turn; the headers come by -H.
-- First `--pause` and milliseconds, if a connection is to rest after each answer.
-- The totals and the number of answers of each status come as lines for a program to read.

local made, sent, threads = {}, 0, {}
statuses = {}

function setup(thread)
   table.insert(threads, thread)
end

function init(args)
   if args[1] == "--pause" then
      local pause = tonumber(args[2])
      delay = function() return pause end
      args = {table.unpack and table.unpack(args, 3) or unpack(args, 3)}
   end
   for number, path in ipairs(args) do
      made[number] = wrk.format("GET", path)
   end
end

function request()
   sent = sent + 1
   return made[(sent - 1) % #made + 1]
end

function response(status)
   statuses[status] = (statuses[status] or 0) + 1
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      "totals %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
   for _, thread in ipairs(threads) do
      for status, count in pairs(thread:get("statuses")) do
         io.write(string.format("status %d %d\n", status, count))
      end
   end
end
