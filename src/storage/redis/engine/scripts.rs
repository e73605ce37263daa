//! The scripts, one for each call of the engine. A script checks everything before its first
//! write. A full, read-only or failing server refuses this first write, so a script does all or
//! nothing.
//!
//! `KEYS[1]` is the prefix of the keys of a kind. It selects the node of a cluster, and all other
//! keys are derived from it. The documentation of [`super`] has the table of keys.

use std::sync::LazyLock;

use redis::Script;

/// Functions that all scripts share. `read` returns the first `count` of revision, version, body
/// and blob; a field that is missing or was not requested is false.
const KIND: &str = r"
local function index_key(index) return KEYS[1] .. ':x:' .. index end
local function record_key(id)
    -- No index has a colon in its name, so no record is stored at the key of an index.
    if string.sub(id, 1, 2) == 'x:' then id = 'x:' .. id end
    return KEYS[1] .. ':' .. id
end
local function read(id, count)
    local key = record_key(id)
    if count == 4 then return redis.call('HMGET', key, 'r', 'n', 'v', 'b') end
    if count == 3 then
        local fields = redis.call('HMGET', key, 'r', 'n', 'v')
        fields[4] = false
        return fields
    end
    local fields = redis.call('HMGET', key, 'r', 'n')
    fields[3], fields[4] = false, false
    return fields
end
";

fn script(text: &str) -> Script {
    Script::new(&[KIND, text].concat())
}

/// Reads records. `ARGV`: number of fields, then IDs. Returns the fields of each record.
pub(super) static GET: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
local found = {}
for number = 2, #ARGV do found[number - 1] = read(ARGV[number], tonumber(ARGV[1])) end
return found
",
    )
});

/// Reads a page of an index. `ARGV`: number of fields, index, first bound, last bound, command,
/// number of records. Returns the member and the fields of each record.
pub(super) static SCAN: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
local count, index, first, last, command, limit = unpack(ARGV)
count = tonumber(count)
local members = redis.call(command, index_key(index), first, last, 'LIMIT', 0, limit)
local found = {}
for number, member in ipairs(members) do
    local id = index == 'id' and member or string.match(member, '%z(.*)$') or ''
    found[number] = {member, read(id, count)}
end
return found
",
    )
});

/// Counts the members of a part of an index. `ARGV`: index, lower bound, upper bound.
pub(super) static COUNT: LazyLock<Script> = LazyLock::new(|| {
    script("return redis.call('ZLEXCOUNT', index_key(ARGV[1]), ARGV[2], ARGV[3])")
});

/// Writes a record. `ARGV`: ID; `absent`, `any` or the expected revision; version; body; the key
/// in each index as JSON; names of those indexes that are unique, separated by spaces; the blob,
/// if there is one. Returns the new revision; 0 if the record does not have the expected revision;
/// -1 if it exists but must not, or if another record has one of the unique keys.
pub(super) static PUT: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
local id, expected, version, body, entries, unique, blob = unpack(ARGV)
local key = record_key(id)
local revision, old = unpack(redis.call('HMGET', key, 'r', 'x'))
if expected == 'absent' then
    if revision then return -1 end
elseif expected ~= 'any' and expected ~= revision then
    return 0
end
local old, new = cjson.decode(old or '{}'), cjson.decode(entries)
for index in string.gmatch(unique, '%S+') do
    local start = new[index] .. '\0'
    local first = redis.call('ZRANGEBYLEX', index_key(index), '[' .. start, '+', 'LIMIT', 0, 1)[1]
    if first and first ~= start .. id and string.sub(first, 1, #start) == start then return -1 end
end
if revision then
    revision = redis.call('HINCRBY', key, 'r', 1)
    redis.call('HSET', key, 'n', version, 'v', body, 'x', entries)
    if not blob then redis.call('HDEL', key, 'b') end
else
    revision = 1
    redis.call('HSET', key, 'r', 1, 'n', version, 'v', body, 'x', entries)
end
if blob then redis.call('HSET', key, 'b', blob) end
for index, text in pairs(old) do
    if new[index] ~= text then redis.call('ZREM', index_key(index), text .. '\0' .. id) end
end
for index, text in pairs(new) do redis.call('ZADD', index_key(index), 0, text .. '\0' .. id) end
redis.call('ZADD', index_key('id'), 0, id)
return revision
",
    )
});

/// Deletes records. `ARGV`: ID and expected revision of each; an empty revision matches any.
/// Returns the number of deleted records.
pub(super) static DELETE: LazyLock<Script> = LazyLock::new(|| {
    script(
        r"
local deleted = 0
for number = 1, #ARGV, 2 do
    local id, expected = ARGV[number], ARGV[number + 1]
    local key = record_key(id)
    local revision, entries = unpack(redis.call('HMGET', key, 'r', 'x'))
    if revision and (expected == '' or expected == revision) then
        for index, text in pairs(cjson.decode(entries or '{}')) do
            redis.call('ZREM', index_key(index), text .. '\0' .. id)
        end
        redis.call('ZREM', index_key('id'), id)
        redis.call('DEL', key)
        deleted = deleted + 1
    end
end
return deleted
",
    )
});
