"""Lists in pages, as Harbor's clients ask for them: `page`, `page_size`, `q`, `sort`; `X-Total-Count` and `Link`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from entrepot.access.faults import Invalid
from entrepot.metadata.filtering import COUNT_LIMIT, Field, Selection
from entrepot.web.api.mount import REQUEST
from entrepot.web.api.query import parse_query, parse_sort

PAGE_SIZE: Final = 10
MAX_PAGE_SIZE: Final = 100

#: Harbor's command line writes 0 for both where it wants no pages.
Page = Annotated[int, Query(ge=0, description="The number of the page, from 1 on; 0 is the first one, too.")]
PageSize = Annotated[
    int, Query(ge=0, le=MAX_PAGE_SIZE, description="How many entries a page has; 0 for as many as it can have.")
]
Filter = Annotated[
    str,
    Query(description="Which entries: k=v, k=~v, k=[low~high], k={a b}, k=(a b), separated by commas.", examples=[""]),
]
Sort = Annotated[str, Query(description="The order: names of fields, with - before those that sort downwards.")]


def selection(fields: Mapping[str, Field]) -> Callable[..., Selection]:
    """Return a dependency that reads which part of a list with these fields is wanted."""

    def read(page: Page = 1, page_size: PageSize = PAGE_SIZE, q: Filter = "", sort: Sort = "") -> Selection:
        size = page_size or MAX_PAGE_SIZE
        return Selection(
            conditions=parse_query(q, fields),
            order=parse_sort(sort, fields),
            limit=size,
            offset=offset_of(page or 1, size),
        )

    return read


def chosen(fields: Mapping[str, Field]) -> Callable[..., Selection]:
    """Return a dependency that reads which entries of a list with these fields are wanted, where it has no pages."""

    def read(q: Filter = "") -> Selection:
        return Selection(conditions=parse_query(q, fields))

    return read


def describe(request: Request, response: Response, wanted: Selection, total: int) -> None:
    """Say in the answer's headers how many entries there are, and where the neighbouring pages are."""
    response.headers["X-Total-Count"] = str(total)
    page = wanted.offset // wanted.limit + 1
    links = []
    if page > 1:
        links.append(_link(request, page - 1, wanted.limit, "prev"))
    if page * wanted.limit < total:
        links.append(_link(request, page + 1, wanted.limit, "next"))
    if links:
        response.headers["Link"] = " , ".join(links)


#: What the answers of lists say beside their entries, for the documentation.
PAGED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            "X-Total-Count": {
                "schema": {"type": "integer"},
                "description": f"How many entries there are in all; from {COUNT_LIMIT} on, at least so many.",
            },
            "Link": {"schema": {"type": "string"}, "description": "The pages before and after."},
        }
    }
}


def offset_of(page: int, page_size: int) -> int:
    """Return how many entries lie before a page.

    Raises:
        Invalid: It reaches further than pages do.
    """
    offset = (page - 1) * page_size
    if offset > COUNT_LIMIT:
        raise Invalid(f"pages reach {COUNT_LIMIT:,} entries far; narrow the list with q")
    return offset


def _link(request: Request, page: int, page_size: int, relation: str) -> str:
    others = [(name, value) for name, value in request.query_params.multi_items() if name not in ("page", "page_size")]
    path = str(request.scope[REQUEST].raw_path, "latin-1")
    return f'<{path}?{urlencode([*others, ("page", page), ("page_size", page_size)])}>; rel="{relation}"'
