-- 64 KiB from random places of a blob of 100 MB.
local size, piece = 100000000, 65536
request = function()
  local start = math.random(0, size - piece)
  wrk.headers["Range"] = string.format("bytes=%d-%d", start, start + piece - 1)
  return wrk.format("GET")
end
