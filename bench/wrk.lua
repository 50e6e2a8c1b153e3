-- Sends prepared requests in turn (requests FILE), or refreshes chains of tokens (refresh FILE PORT), and says at the
-- end what came of it, on a line of its own. In the file, entries are separated by NUL.

local entries, first, refresh_head = {}, 1, nil

function init(args)
  local file = assert(io.open(args[2], "rb"))
  for entry in file:read("*a"):gmatch("([^%z]+)") do
    entries[#entries + 1] = entry
  end
  file:close()
  if args[1] == "refresh" then
    refresh_head = "POST /auth/jwt/refresh HTTP/1.1\r\nHost: 127.0.0.1:" .. args[3]
      .. "\r\nContent-Type: application/json\r\nContent-Length: "
    -- Only defined here, because wrk is slower when somebody looks at the answers.
    response = function(status, headers, body)
      local token = body:match('"refresh_token":"([^"]+)"')
      -- Whose chain is broken does not come back: with none left, wrk ends with an error.
      if token then
        entries[#entries + 1] = token
      end
    end
  end
end

function request()
  local entry = entries[first]
  first = first + 1
  if refresh_head then
    local body = '{"refresh_token":"' .. entry .. '"}'
    return refresh_head .. #body .. "\r\n\r\n" .. body
  end
  if first > #entries then
    first = 1
  end
  return entry
end

function done(summary)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"answers": %d, "microseconds": %d, "failed": %d}\n',
    summary.requests, summary.duration, failed))
end
