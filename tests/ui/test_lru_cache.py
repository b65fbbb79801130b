"""The one cache of the page's server."""

from vae.ui.serving.lru_cache import LruCache


def test_what_was_not_used_for_longest_goes_first():
    cache = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c"), len(cache)) == (1, None, 3, 2)
    cache.put("a", 4)
    assert cache.get("a") == 4 and list(cache) == ["c", "a"]


def test_values_are_weighed_and_room_is_made():
    cache = LruCache(10, size=len)
    cache.put("a", "12345")
    cache.put("b", "1234")
    cache.put("c", "12")
    assert "a" not in cache and len(cache) == 2
    cache.put("d", "x" * 11)
    assert len(cache) == 0, "what alone is too large is not kept"
    cache.put("e", "12345678")
    cache.shrink(0)
    assert cache.pop("e") is None
