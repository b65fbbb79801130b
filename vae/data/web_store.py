"""A web server as a store of litdata's shards: the downloader that litdata has for object stores and not for these."""

from pathlib import Path
from urllib.parse import urlsplit

import requests
from litdata.streaming.downloader import Downloader
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

PATIENCE = 10, 60  # seconds to connect, and between two pieces of an answer
RETRIES = Retry(4, connect=1, backoff_factor=0.2, status_forcelist=(429, 500, 502, 503, 504), raise_on_status=False)
PIECE = 2**20  # bytes


class WebDownloader(Downloader):
    """Files, and parts of them, by HTTP. readers: how many threads ask at once at most."""

    readers = 64

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_maxsize=self.readers, max_retries=RETRIES)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def download_file(self, remote_chunkpath: str, local_chunkpath: str) -> None:
        """Raises OSError if the server does not give the file."""
        part = Path(self._temp_download_path(local_chunkpath))
        try:
            with self._get(remote_chunkpath) as answer, part.open("wb") as file:
                for piece in answer.iter_content(PIECE):
                    file.write(piece)
        except requests.RequestException as error:
            raise OSError(f"the answer of {urlsplit(remote_chunkpath).hostname} broke off") from error
        self._publish_file(str(part), local_chunkpath)

    def download_bytes(self, remote_chunkpath: str, offset: int, length: int, local_chunkpath: str) -> bytes:
        """No more than is asked for; fewer bytes where the file ends. Raises OSError as `download_file` does."""
        part = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        with self._get(remote_chunkpath, part) as answer:
            if answer.status_code != requests.codes.partial_content:
                raise OSError("the server gives whole files only, no parts of them (HTTP ranges)")
            return answer.raw.read(length)

    def _get(self, address: str, headers: dict[str, str] | None = None) -> requests.Response:
        try:
            answer = self._session.get(address, headers=headers, stream=True, timeout=PATIENCE)
        except requests.RequestException as error:
            raise OSError(f"{urlsplit(address).hostname} does not answer") from error
        if not answer.ok:
            answer.close()
            raise OSError(f"the server answers {answer.status_code} {answer.reason}")
        return answer
