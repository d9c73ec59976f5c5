// The signed-in side works without this: it keeps what is typed until it is posted, warns of it, filters lists.
(() => {
  "use strict";
})();
