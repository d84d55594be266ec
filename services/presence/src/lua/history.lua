-- Records a counter's past: src/history/recorder.rs says what its numbers mean, and keys.rs how they are stored. The caller puts
-- the constants before it (DOUBT, SLICE, HISTORY_HEAD: milliseconds, and the bytes before the rings).
--
-- What was published within the last DOUBT may still turn out to be wrong: a node that has died counts until its lease and the
-- suspicion have ended. So that time is kept in slices, from which a dead node's viewers are taken back, and goes into the rings
-- after it.

local RINGS = {
  { step = 60000, size = 1440, offset = HISTORY_HEAD },
  { step = 900000, size = 2880, offset = HISTORY_HEAD + 8 * 1440 },
  { step = 86400000, size = 1830, offset = HISTORY_HEAD + 8 * (1440 + 2880) },
}
local DAY = 86400000
local HISTORY_BYTES = HISTORY_HEAD + 8 * (1440 + 2880 + 1830)
-- A clock that goes back by more was wrong before: see WAIT_FOR_CLOCK in recorder.rs.
local WAIT_FOR_CLOCK = 7200000
local FIXED, SLICE_NUMBERS, MAX_SLICES = 21, 5, 12
local FORMAT = 1
local NOTHING = string.rep('\0', 8)

-- All numbers are doubles, -1 where a count is not known.
local function read_past(key)
  local text = redis.call('GETRANGE', key, 0, HISTORY_HEAD - 1)
  if #text < HISTORY_HEAD then return nil end
  local n = { struct.unpack('<' .. string.rep('d', FIXED), text) }
  if n[1] ~= FORMAT then return nil end
  local past = {
    key = key, life = n[2], folded = n[3], at = n[4], count = n[5], idle = n[6] == 1, confirmed = n[7],
    today = { count = n[17], at = n[18] }, peak = { count = n[19], at = n[20] }, slices = {},
  }
  for ring = 1, 3 do
    local first = 8 + (ring - 1) * 3
    past[ring] = { integral = n[first], known = n[first + 1], highest = n[first + 2] }
  end
  local offset = n[FIXED + 1]
  for i = 1, n[FIXED] do
    local slice = { struct.unpack('<' .. string.rep('d', SLICE_NUMBERS), text, offset) }
    past.slices[i] = { to = slice[1], integral = slice[2], known = slice[3], highest = slice[4], at = slice[5] }
    offset = slice[SLICE_NUMBERS + 1]
  end
  return past
end

local function head_of(past)
  local n = {
    FORMAT, past.life, past.folded, past.at, past.count, past.idle and 1 or 0, past.confirmed,
    past[1].integral, past[1].known, past[1].highest,
    past[2].integral, past[2].known, past[2].highest,
    past[3].integral, past[3].known, past[3].highest,
    past.today.count, past.today.at, past.peak.count, past.peak.at, #past.slices,
  }
  for _, slice in ipairs(past.slices) do
    for _, number in ipairs({ slice.to, slice.integral, slice.known, slice.highest, slice.at }) do n[#n + 1] = number end
  end
  return struct.pack('<' .. string.rep('d', #n), unpack(n))
end

local function write_past(past)
  redis.call('SETRANGE', past.key, 0, head_of(past))
  if past.has_new_step then redis.call('PEXPIRE', past.key, string.format('%.0f', past.life)) end
end

-- Nothing is known before `now`. Written at its whole length, so that Redis takes no more memory than that.
local function begin_past(key, now, life)
  local past = {
    key = key, life = life, folded = now, at = now, count = -1, idle = false, confirmed = 0,
    today = { count = -1, at = 0 }, peak = { count = -1, at = 0 }, slices = {},
  }
  for ring = 1, 3 do past[ring] = { integral = 0, known = 0, highest = -1 } end
  redis.call('SET', key, string.rep('\0', HISTORY_BYTES), 'PX', string.format('%.0f', life))
  return past
end

local function add_time(run, time, count)
  if count < 0 or time <= 0 then return end
  run.integral = run.integral + count * time
  run.known = run.known + time
  run.highest = math.max(run.highest, count)
end

local function entry_of(run)
  if run.highest < 0 then return NOTHING end
  local mean = run.known > 0 and run.integral / run.known or run.highest
  return struct.pack('<I4I4', math.min(run.highest + 1, 4294967295), math.min(math.floor(mean * 100 + 0.5), 4294967295))
end

-- Writes the same entry for the steps from `first` to before `last`: of more than a ring has, the newest ones.
local function fill(past, ring, first, last, entry)
  past.has_new_step = true
  local size = ring.size
  first = math.max(first, last - size)
  while first < last do
    local slot = first % size
    local times = math.min(last - first, size - slot)
    redis.call('SETRANGE', past.key, ring.offset + slot * 8, string.rep(entry, times))
    first = first + times
  end
end

local function raise(peak, count, at)
  if count > peak.count then peak.count, peak.at = count, at end
end

-- Begins the day of `to` with a count that has not changed, -1 if it is not known.
local function turn_day(past, to, count)
  local midnight = math.floor(to / DAY) * DAY
  if past.folded < midnight then past.today.count, past.today.at = count, midnight end
end

-- The count was the same from past.folded on.
local function hold(past, to, count)
  local from = past.folded
  for i, ring in ipairs(RINGS) do
    local run = past[i]
    local first, last = math.floor(from / ring.step), math.floor(to / ring.step)
    if first == last then
      add_time(run, to - from, count)
    else
      add_time(run, (first + 1) * ring.step - from, count)
      fill(past, ring, first, first + 1, entry_of(run))
      run.integral, run.known, run.highest = 0, 0, -1
      if last > first + 1 then
        fill(past, ring, first + 1, last, entry_of({ integral = 0, known = 0, highest = count }))
      end
      add_time(run, to - last * ring.step, count)
    end
  end
  if count >= 0 then
    raise(past.today, count, from)
    raise(past.peak, count, from)
  end
  turn_day(past, to, count)
  past.folded = to
end

-- A slice never goes over the end of a step.
local function fold(past, slice)
  for i, ring in ipairs(RINGS) do
    local run = past[i]
    run.integral = run.integral + slice.integral
    run.known = run.known + slice.known
    run.highest = math.max(run.highest, slice.highest)
    local first, last = math.floor(past.folded / ring.step), math.floor(slice.to / ring.step)
    if first ~= last then
      fill(past, ring, first, last, entry_of(run))
      run.integral, run.known, run.highest = 0, 0, -1
    end
  end
  if slice.highest >= 0 then
    raise(past.today, slice.highest, slice.at)
    raise(past.peak, slice.highest, slice.at)
  end
  turn_day(past, slice.to, -1)
  past.folded = slice.to
end

-- The count was the same from past.at on.
local function stretch(past, to, count, now)
  local sure = math.min(to, now - DOUBT)
  if sure > past.at then
    for _, slice in ipairs(past.slices) do fold(past, slice) end
    past.slices = {}
    hold(past, sure, count)
    past.at = sure
  end
  while past.at < to do
    local upto = math.min(to, (math.floor(past.at / SLICE) + 1) * SLICE)
    local slice = past.slices[#past.slices]
    if not slice or slice.to % SLICE == 0 then
      slice = { to = past.at, integral = 0, known = 0, highest = -1, at = 0 }
      past.slices[#past.slices + 1] = slice
    end
    if count > slice.highest then slice.highest, slice.at = count, past.at end
    if count >= 0 then
      slice.integral = slice.integral + count * (upto - past.at)
      slice.known = slice.known + upto - past.at
    end
    slice.to, past.at = upto, upto
  end
end

-- The count has been what it is up to `known`, and was not known since.
local function extend(past, known, now)
  stretch(past, math.min(known, now), past.count, now)
  stretch(past, now, -1, now)
  while past.slices[1] and (past.slices[1].to <= now - DOUBT or #past.slices > MAX_SLICES) do
    fold(past, table.remove(past.slices, 1))
  end
end

-- Takes back what was published since then of a node's viewers that were not there any more.
local function take_back(past, viewers, since)
  for _, slice in ipairs(past.slices) do
    if slice.to > since and slice.highest >= 0 then
      slice.highest = math.max(0, slice.highest - viewers)
      slice.integral = math.max(0, slice.integral - viewers * slice.known)
    end
  end
  past.count = past.count >= 0 and math.max(0, past.count - viewers) or -1
end

-- What was published of late is not known: it was lost, and perhaps it was wrong before.
local function forget_slices(past)
  for _, slice in ipairs(past.slices) do slice.integral, slice.known, slice.highest = 0, 0, -1 end
end

-- The clock was wrong before: what it has recorded of the future is forgotten.
local function begin_again(past, now)
  for i, ring in ipairs(RINGS) do
    local first, last = math.floor(now / ring.step), math.floor(past.at / ring.step)
    fill(past, ring, first, math.min(last + 1, first + ring.size), NOTHING)
    past[i] = { integral = 0, known = 0, highest = -1 }
  end
  past.slices, past.folded, past.at = {}, now, now
  past.today = { count = -1, at = 0 }
  past.confirmed = math.min(past.confirmed, now)
end
