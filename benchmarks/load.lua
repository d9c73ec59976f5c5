-- wrk's side of a measurement. Arguments: what to send, how many monitors, where to begin; and, if a connection
-- is to rest after each answer, for how many milliseconds.
--   now    a report of this moment, from one monitor after the other, no two alike: for a row that stays as
--          it was SQLite would write nothing. Latencies are at least 1, those of histories less
--   late   a report of a minute of its own each, from one monitor after the other, from minute `begin` on
--   get    a question about one monitor after the other
-- The first answer that is no 200 is printed; the totals come as one line for a program to read.

local what, monitors, begin, sent = "now", 1, 0, 0
local ready = {}

function init(args)
   what = args[1]
   monitors = tonumber(args[2])
   begin = tonumber(args[3])
   local pause = tonumber(args[4] or "0")
   if pause > 0 then
      delay = function() return pause end
   end
   wrk.headers["Content-Type"] = "application/json"
end

local function report(tag, instant)
   local body = string.format(
      '{"tag":"%s","status":"UP","latency":1.%06d,"timestampInSeconds":%d}', tag, sent % 1000000, instant)
   return wrk.format("POST", "/api/status", nil, body)
end

function request()
   local monitor = sent % monitors
   local tag = "monitor-" .. monitor
   local round = math.floor(sent / monitors)
   sent = sent + 1
   if what == "late" then
      return report(tag, begin + 60 * round)
   end
   if what == "now" then
      return report(tag, os.time())
   end
   if ready[monitor] == nil then
      ready[monitor] = wrk.format("GET", "/api/status?tag=" .. tag)
   end
   return ready[monitor]
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      "totals %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status,
      errors.connect + errors.read + errors.write + errors.timeout,
      latency:percentile(50), latency:percentile(99)))
end
