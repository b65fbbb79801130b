"""The page's tabs in the browser tests."""

from playwright.sync_api import Page


def tab(page: Page, name: str) -> None:
    """Opens the tab of that name."""
    page.get_by_role("tab", name="Reconstruct", exact=True).wait_for()
    page.get_by_role("tab", name=name, exact=True).click()
