//! The scripts: each looks at everything first and writes after, so that it does all or nothing.
//! A server that is full or cannot save refuses the first write, and so the whole.
//!
//! A record is the hash `v` (its JSON), `x` (the claims and places it has, so that they can be
//! given up without reading the record), and for some `e` (what is written by itself, see
//! [`super::plan::Kept::beside`]). Punches and the audit trail, which never change, are plain
//! strings. An index is a sorted set without scores; a member is what it is sorted by, a zero
//! byte, and the identity.

use std::sync::LazyLock;

use redis::Script;

use crate::storage::redis::cache;

/// Reads a record: `{v, e}` of a hash, `{v}` of a string or where nobody asks for more.
const READ: &str = r"
local function read(key, plain)
    if plain == '1' then return {redis.call('GET', key)} end
    if plain == 'v' then return {redis.call('HGET', key, 'v')} end
    return redis.call('HMGET', key, 'v', 'e')
end
";

/// What a record claims and where it is, and giving that up. Of a plain string nothing is known:
/// whoever deletes one knows the index that it is in.
const LEAVE: &str = r"
local function had_by(key)
    if redis.call('TYPE', key).ok ~= 'hash' then return nil end
    local x = redis.call('HGET', key, 'x')
    return x and cjson.decode(x)
end
local function leave(had)
    if not had then return end
    for _, claim in ipairs(had.c) do redis.call('DEL', claim) end
    for _, place in ipairs(had.z) do redis.call('ZREM', place[1], place[2]) end
end
";

/// Writes records together. `KEYS[1]` is the first one's; `ARGV[1]` is the plan, see
/// [`super::plan::Step`]; then come the values of all fields. Answers 1; 0 when one that is to be replaced is not
/// there, or not as it was; -1 when one that is to be added is, or when a claim or place is taken.
pub(super) static PUT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEAVE.to_owned()
            + r"
local plan = cjson.decode(ARGV[1])
for _, step in ipairs(plan) do
    local there = redis.call('EXISTS', step.key) == 1
    if there and not step.replaces then return -1 end
    if not there and step.replaces then return 0 end
    if type(step.was) == 'string' and redis.call('HGET', step.key, 'v') ~= step.was then return 0 end
    step.had = there and had_by(step.key)
    for _, claim in ipairs(step.claims) do
        local holder = redis.call('GET', claim)
        if holder and holder ~= step.id then return -1 end
    end
    for _, only in ipairs(step.only) do
        if redis.call('ZLEXCOUNT', only[1], '[' .. only[2], '[' .. only[2] .. '\255') > 0 then return -1 end
    end
end
local given = 2
for _, step in ipairs(plan) do
    for _, field in ipairs(step.fields) do
        if field == '' then
            redis.call('SET', step.key, ARGV[given])
        else
            redis.call('HSET', step.key, field, ARGV[given])
        end
        given = given + 1
    end
    leave(step.had)
    for _, claim in ipairs(step.claims) do redis.call('SET', claim, step.id) end
    for _, place in ipairs(step.places) do redis.call('ZADD', place[1], 0, place[2]) end
    for _, last in ipairs(step.latest) do redis.call('ZADD', last[1], 'GT', last[2], last[3]) end
    for _, counter in ipairs(step.counters) do redis.call('INCR', counter) end
end
return 1
"),
    )
});

/// Sets one field of a record that is there: `KEYS[1]`, `ARGV` field and value.
pub(super) static SET_FIELD: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
",
    )
});

/// Reads the records of `KEYS`. `ARGV`: whether they are plain; when the keys are claims, what
/// comes before the identities that these hold.
pub(super) static FETCH: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(READ.to_owned()
            + r"
local found = {}
for number, key in ipairs(KEYS) do
    if ARGV[2] ~= '' then
        local holder = redis.call('GET', key)
        found[number] = holder and read(ARGV[2] .. holder, ARGV[1]) or {}
    else
        found[number] = read(key, ARGV[1])
    end
end
return found
"),
    )
});

/// Reads the records of an index from one end of a range. `KEYS[1]` is the index; `ARGV`: where
/// to begin, where to end, whether backwards, how many at most, whether plain, what comes before the identity in a record's key.
pub(super) static SELECT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(READ.to_owned()
            + r"
local range = ARGV[3] == '1' and 'ZREVRANGEBYLEX' or 'ZRANGEBYLEX'
local found = {}
for number, member in ipairs(redis.call(range, KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[4])) do
    found[number] = read(ARGV[6] .. (string.match(member, '%z([^%z]*)$') or member), ARGV[5])
end
return found
"),
    )
});

/// Deletes records with everything that points to them: all of the indexes in `KEYS`, up to the
/// bound in `ARGV[1]`, at most `ARGV[2]` of each. From `ARGV[3]` on, what comes before the
/// identity in a record's key, for each index. Answers how many there were of the last index.
pub(super) static DROP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEAVE.to_owned()
            + r"
local count = 0
for number, index in ipairs(KEYS) do
    count = 0
    for _, member in ipairs(redis.call('ZRANGEBYLEX', index, '-', ARGV[1], 'LIMIT', 0, ARGV[2])) do
        local key = ARGV[number + 2] .. (string.match(member, '%z([^%z]*)$') or member)
        leave(had_by(key))
        redis.call('DEL', key)
        redis.call('ZREM', index, member)
        count = count + 1
    end
end
return count
"),
    )
});

/// Deletes the record of `KEYS[1]` with everything that points to it; how many there were. What
/// points to a plain record is not kept with it: `ARGV[1]` says it then.
pub(super) static DROP_ONE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEAVE.to_owned()
            + r"
leave(ARGV[1] and cjson.decode(ARGV[1]) or had_by(KEYS[1]))
return redis.call('DEL', KEYS[1])
"),
    )
});

/// Looks over some of the keys, so that in a cluster the node that has the records is asked.
/// `KEYS[1]` is one of them; `ARGV`: where the last look ended, which keys are wanted, how many
/// to look over. Answers where this look ended, `0` for the end, and the keys.
pub(super) static SCAN: LazyLock<Script> = LazyLock::new(|| {
    Script::new("return redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])")
});

/// What is known of a lease. `KEYS[1]` is a hash; a field is missing when nobody has it.
const LEASE: &str = r"
local holder, fence, ends = unpack(redis.call('HMGET', KEYS[1], 'holder', 'fence', 'until'))
";

/// Takes a lease. `ARGV`: holder, now, until. Answers the fence; 0 when somebody else has it.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEASE.to_owned()
            + r"
local held = holder and tonumber(ends) > tonumber(ARGV[2])
if held and holder ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'until', ARGV[3])
if held then return tonumber(fence) end
return redis.call('HINCRBY', KEYS[1], 'fence', 1)
"),
    )
});

/// Keeps a lease. `ARGV`: holder, fence, now, until.
pub(super) static KEEP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEASE.to_owned()
            + r"
if holder ~= ARGV[1] or fence ~= ARGV[2] or tonumber(ends) <= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'until', ARGV[4])
return 1
"),
    )
});

/// Lets a lease go; the fence stays. `ARGV`: holder, fence.
pub(super) static LET_GO: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        &(LEASE.to_owned()
            + r"
if holder ~= ARGV[1] or fence ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'holder', 'until')
return 1
"),
    )
});

/// Adds to a cached number. `KEYS[1]`, `ARGV`: by, life in milliseconds.
pub(super) static INCREMENT: LazyLock<Script> = LazyLock::new(|| Script::new(cache::INCREMENT));
