-- Transfers for wrk: wrk -s transfer.lua URL -- PEOPLE
--
-- Every request is POST /api/transfer of 1 to 9 from one of PEOPLE people to another, chosen by a generator
-- with a fixed seed, so that all servers are asked the same. The requests are built before the clock starts:
-- building them on the way would measure Lua instead of the server.

local DIFFERENT_REQUESTS = 20000

local requests = {}
local sent = 0

function init(args)
  local people = assert(tonumber(args[1]), "usage: wrk -s transfer.lua URL -- PEOPLE")
  assert(people >= 2, "a transfer takes two people")
  math.randomseed(20040301)
  wrk.headers["Content-Type"] = "application/json"
  for i = 1, DIFFERENT_REQUESTS do
    local sender = math.random(0, people - 1)
    -- One of the others, each as likely: 1 to people - 1 steps on in the circle.
    local receiver = (sender + math.random(1, people - 1)) % people
    local body = string.format(
      '{"sender":"p%d","receiver":"p%d","amount":%d}', sender, receiver, math.random(1, 9))
    requests[i] = wrk.format("POST", nil, nil, body)
  end
end

function request()
  sent = sent % DIFFERENT_REQUESTS + 1
  return requests[sent]
end
