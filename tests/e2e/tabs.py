"""The page's tabs in the browser tests."""

from playwright.sync_api import Page


def tab(page: Page, name: str) -> None:
    """Opens the tab of that name."""
    page.get_by_role("tab", name="Reconstruct", exact=True).wait_for()
    button = page.get_by_role("tab", name=name, exact=True)
    if not button.is_visible():  # on a phone the last ones are in a menu
        page.get_by_role("button", name="More tabs").click()
        button = page.locator(".overflow-dropdown").get_by_role("button", name=name, exact=True)
    button.click()
