-- Requests to a kvstore for wrk: wrk -s kvstore.lua URL -- get|put KEYS
--
-- Gets go over keys that are not there, puts over keys that this run makes: in turn, so that the version of each is
-- known without asking. Another run has other keys.

local keys, put, prefix
-- wrk asks for one request that it does not send.
local sent = -1

function init(args)
  put = args[1] == "put"
  keys = assert(tonumber(args[2]), "usage: wrk -s kvstore.lua URL -- get|put KEYS")
  math.randomseed(os.time() * 1000 + math.floor(os.clock() * 1e6) % 1000)
  prefix = string.format("k%09d-", math.random(0, 999999999))
  wrk.headers["Content-Type"] = "application/json"
end

function request()
  local key = prefix .. sent % keys
  local version = math.floor(sent / keys)
  sent = sent + 1
  if put then
    return wrk.format("POST", nil, nil,
      string.format('{"key":"%s","value":"%d","version":%d}', key, sent, version))
  end
  return wrk.format("GET", wrk.path .. "?id=" .. key)
end
