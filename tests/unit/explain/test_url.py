"""URLs as the proxy reads them; ``tests/envoy/test_explain`` holds the path's form against a real one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingress_controller.explain.url import RefusedPathError, Target, normal_path, parse_url

pieces = st.lists(st.sampled_from([*"/.%;\\ab10 é", "%2e", "%25", "%41", "..", "%2", "%30"]), max_size=12).map("".join)


@given(pieces)
@example("%%310")
@example("//")
@example(".;/x")
def test_the_normal_form_is_a_form_of_its_own(piece: str) -> None:
    try:
        plain = normal_path(f"/{piece}")
    except RefusedPathError:
        return
    assert plain.startswith("/")
    assert "/./" not in plain
    assert "/../" not in plain
    if ";" not in piece:
        assert normal_path(plain) == plain


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("https://app.test", Target("https", "app.test", 443, "/", None)),
        ("app.test/a?b", Target("https", "app.test", 443, "/a", "b")),
        ("http://APP.test.:8080/a/../b#frag?x", Target("http", "app.test", 8080, "/a/../b", None)),
        ("https://user:pass@app.test/?", Target("https", "app.test", 443, "/", "")),
        ("https://app.test/a b/é?ü#x", Target("https", "app.test", 443, "/a%20b/%C3%A9", "%C3%BC")),
        ("https://bücher.test/", Target("https", "xn--bcher-kva.test", 443, "/", None)),
        ("https://[::1]:8443/", Target("https", "[::1]", 8443, "/", None)),
        ("http://app.test", Target("http", "app.test", 80, "/", None)),
        ("tcp+https://DB.test.:5432", Target("tcp+https", "db.test", 5432, "/", None)),
    ],
)
def test_a_url_is_read_as_clients_send_it(text: str, target: Target) -> None:
    assert parse_url(text) == target


@pytest.mark.parametrize(
    "text", ["ftp://app.test/", "https://", "https:///x", "https://app.test:x/", "https://[::1/", "tcp+https://db.test"]
)
def test_what_is_no_url_of_a_page_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_url(text)


@pytest.mark.parametrize("path", ["/a%2Fb", "/a%5cb", "/a%00"])
def test_a_path_that_the_proxy_refuses(path: str) -> None:
    with pytest.raises(RefusedPathError):
        normal_path(path)
