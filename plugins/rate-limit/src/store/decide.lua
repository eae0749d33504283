-- One decision of the limiter. Every limit of a key is looked at, then all are charged or none.
--
-- KEYS: one for each limit; all have one hash tag. ARGV: mode, cost, wish, then four for each limit:
--   w count span slot      a sliding window; times in microseconds
--   b burst interval even  a token bucket ("1": one at a time); the interval in microseconds, with a fraction
--   c count ends -         a period of the calendar; `ends` are moments between periods, ascending, in microseconds
-- Mode: `decide` takes the cost or nothing; `draw` takes as much as there is, from the cost up to the wish; `take` takes
-- the cost in any case. Answer: what was taken (-1: nothing), which limit is in the way, microseconds to wait (-1: for
-- ever), then for each limit what is left and microseconds until there is more.
--
-- The time is the server's own, so that clocks of nodes do not matter. It counts from 2025: a double then has fractions
-- of a microsecond for decades. A window is a list: the total of all that has left, then the end of each run and the total
-- up to it; whatever is two places from the left is a new beginning.
local time = redis.call('TIME')
local now = (tonumber(time[1]) - 1735689600) * 1000000 + tonumber(time[2])
local mode, cost, wish = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local function number(key, index)
  return tonumber(redis.call('LINDEX', key, index))
end

local kinds = { w = {}, b = {}, c = {} }

function kinds.w.read(at)
  local length = redis.call('LLEN', at.key)
  at.gone, at.total, at.newest = 0, 0, 0
  while length > 1 and number(at.key, 1) + at.span <= now do
    redis.call('LPOP', at.key)
    redis.call('LPOP', at.key)
    length = length - 2
  end
  at.length = length
  if length > 0 then
    at.gone = number(at.key, 0)
    at.total = number(at.key, -1)
    if length > 1 then at.newest = number(at.key, -2) end
  end
  at.free = at.most - (at.total - at.gone)
end

function kinds.w.wait(at)
  -- The first run whose total covers what has to leave.
  local leaving = at.total + cost - at.most
  local low, high = 1, (at.length - 1) / 2
  while low < high do
    local middle = math.floor((low + high) / 2)
    if number(at.key, 2 * middle) >= leaving then high = middle else low = middle + 1 end
  end
  return number(at.key, 2 * low - 1) + at.span - now
end

function kinds.w.take(at, amount)
  local stamp = math.max(now - now % at.slot + at.slot - 1, at.newest)
  at.total = at.total + amount
  at.free = at.free - amount
  local total = string.format('%.0f', at.total)
  if at.length == 0 then
    redis.call('RPUSH', at.key, 0)
    at.length = 1
  end
  if at.length > 1 and stamp == at.newest then
    redis.call('LSET', at.key, -1, total)
  else
    redis.call('RPUSH', at.key, string.format('%.0f', stamp), total)
    at.length = at.length + 2
  end
  redis.call('PEXPIRE', at.key, string.format('%.0f', math.ceil((stamp + at.span - now) / 1000) + 1000))
end

function kinds.w.more(at)
  if at.length < 2 then return 0 end
  return number(at.key, 1) + at.span - now
end

-- The longest that a bucket is waited for, some 3,000 years: costs beyond all measure must not make numbers that Redis refuses.
local longest = 1e17

-- What is left of a bucket's filling time is known to a hundredth of a microsecond; half of the slack is for each side.
local slack = 0.02

function kinds.b.count(at)
  at.free = math.floor((at.most * at.interval - at.left + slack) / at.interval)
end

function kinds.b.read(at)
  local full, interval = string.match(redis.call('GET', at.key) or '', '^(%S+) (%S+)$')
  at.left = math.max(tonumber(full or 0) - now, 0)
  -- A reload that changes the rate leaves as many tokens missing as there were.
  interval = tonumber(interval or at.interval)
  if interval ~= at.interval then at.left = math.ceil(at.left / interval) * at.interval end
  kinds.b.count(at)
  -- A dear request goes through alone.
  if at.even and at.free > 0 then at.free = math.huge end
end

function kinds.b.wait(at)
  local needed = cost
  if at.even then needed = math.min(cost, 1) end
  return math.ceil(at.left + (needed - at.most) * at.interval - slack)
end

function kinds.b.take(at, amount)
  at.left = math.min(at.left + amount * at.interval, longest)
  local lives = math.ceil(at.left / 1000) + 1000
  redis.call('SET', at.key, string.format('%.4f %.6f', now + at.left, at.interval), 'PX', string.format('%.0f', lives))
end

function kinds.b.more(at)
  local missing = math.ceil((at.left - slack) / at.interval)
  if missing < 1 then return 0 end
  local beyond = math.max(missing - at.most, 0) * at.interval
  return math.ceil(at.left - (missing - 1) * at.interval + beyond - slack)
end

function kinds.c.read(at)
  local start, used = string.match(redis.call('GET', at.key) or '', '^(%S+) (%S+)$')
  start, used = tonumber(start or 0), tonumber(used or 0)
  at.start, at.finish = 0, math.huge
  for finish in string.gmatch(at.ends, '%S+') do
    local moment = tonumber(finish)
    -- A clock that is set back, by a failover for instance, does not bring an old period back.
    if moment <= math.max(now, start) then at.start = moment elseif moment < at.finish then at.finish = moment end
  end
  if start < at.start then used = 0 end
  at.used = used
  at.free = at.most - used
end

function kinds.c.wait(at)
  return math.max(at.finish - now, 1)
end

function kinds.c.take(at, amount)
  at.used = at.used + amount
  at.free = at.most - at.used
  local lives = math.ceil((at.finish - now) / 1000) + 1000
  redis.call('SET', at.key, string.format('%.0f %.0f', at.start, at.used), 'PX', string.format('%.0f', lives))
end

function kinds.c.more(at)
  return math.max(at.finish - now, 0)
end

local limits, grant, blocking, wait = {}, wish, 0, 0
for index, key in ipairs(KEYS) do
  local arguments = 4 * index
  local kind, most = ARGV[arguments], tonumber(ARGV[arguments + 1])
  local x, y = ARGV[arguments + 2], ARGV[arguments + 3]
  local at = { key = key, kind = kinds[kind], most = most }
  if kind == 'w' then at.span, at.slot = tonumber(x), tonumber(y) end
  if kind == 'b' then at.interval, at.even = tonumber(x), y == '1' end
  if kind == 'c' then at.ends = x end
  at.kind.read(at)
  if mode ~= 'take' and at.free < cost then
    local needed = -1
    if cost <= most or at.even then needed = at.kind.wait(at) end
    if blocking == 0 or (wait >= 0 and (needed < 0 or needed > wait)) then blocking, wait = index, needed end
  end
  grant = math.min(grant, at.free)
  limits[index] = at
end
if mode == 'take' then grant = cost end
if blocking > 0 then grant = -1 end

local answer = { grant, blocking, wait }
for _, at in ipairs(limits) do
  if grant > 0 then at.kind.take(at, grant) end
  if at.kind == kinds.b then kinds.b.count(at) end
  table.insert(answer, math.min(math.max(at.free, 0), 9007199254740991))
  table.insert(answer, at.kind.more(at))
end
return answer
