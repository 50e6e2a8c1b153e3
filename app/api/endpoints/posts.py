"""/posts: what people wrote, for anyone to read."""

from app.api.deps import ONE_STATEMENT, CurrentUser, Id, PagerDep, PostsDep
from app.api.prefixed import PrefixedRouter
from app.api.rows import RowsResponse
from app.core.errors import Forbidden, Unauthorized
from app.crud.post import PostNotFound
from app.models import Post
from app.schemas import PostCreate, PostRead, PostUpdate
from fastapi_users_sqlmodel.routers.errors import responses

router = PrefixedRouter(prefix="/posts", tags=["posts"])


@router.get("", response_model=list[PostRead])
async def list_posts(posts: PostsDep, pager: PagerDep) -> RowsResponse:
    """List all posts, newest first."""
    return pager.send(await posts.list(pager.page))


@router.post(
    "", status_code=201, response_model=PostRead, responses=responses(Unauthorized), dependencies=[ONE_STATEMENT]
)
async def create_post(new: PostCreate, viewer: CurrentUser, posts: PostsDep) -> RowsResponse:
    """Write a post."""
    return RowsResponse(await posts.create(new.model_dump(), by=viewer), status_code=201)


@router.get("/{post_id}", response_model=PostRead, responses=responses(PostNotFound))
async def read_post(post_id: Id, posts: PostsDep) -> RowsResponse:
    """Read a post."""
    return RowsResponse(await posts.get(post_id))


@router.patch("/{post_id}", response_model=PostRead, responses=responses(Unauthorized, Forbidden, PostNotFound))
async def update_post(post_id: Id, changes: PostUpdate, viewer: CurrentUser, posts: PostsDep) -> Post:
    """Change a post, as its author or a superuser."""
    return await posts.update(post_id, changes.model_dump(exclude_unset=True), by=viewer)


@router.delete("/{post_id}", status_code=204, responses=responses(Unauthorized, Forbidden, PostNotFound))
async def delete_post(post_id: Id, viewer: CurrentUser, posts: PostsDep) -> None:
    """Delete a post, as its author or a superuser."""
    await posts.delete(post_id, by=viewer)
