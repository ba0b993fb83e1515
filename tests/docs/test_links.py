"""Links within the documentation lead somewhere."""

import pytest

from tests.docs.pages import PAGES, ROOT, Page, read


@pytest.mark.parametrize("page", [read(path) for path in PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Page) -> None:
    assert [link for link in page.links if "://" not in link and not _leads_somewhere(page, link)] == []


def _leads_somewhere(page: Page, link: str) -> bool:
    file, _, anchor = link.partition("#")
    target = (page.path.parent / file).resolve() if file else page.path
    if not target.exists() or ROOT not in target.parents:
        return False
    return not anchor or anchor in read(target).anchors


def test_every_page_can_be_found() -> None:
    linked = {(page.path.parent / link.partition("#")[0]).resolve() for page in map(read, PAGES) for link in page.links}
    assert {path for path in PAGES if path not in linked} <= {ROOT / "README.md"}


def test_the_index_lists_every_page() -> None:
    index = read(ROOT / "docs" / "README.md")
    listed = [(index.path.parent / link).resolve() for link in index.links]
    assert sorted(listed) == sorted(path for path in PAGES if path.is_relative_to(ROOT / "docs") and path != index.path)
