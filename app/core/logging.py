"""One log for everything: structlog's lines and the standard library's, for people or for machines."""

import logging

import structlog

from app.core.settings import Settings


def without_query(record: logging.LogRecord) -> bool:
    """Cut the query off the path in a line of uvicorn's access log: links in mails carry their token there."""
    if isinstance(record.args, tuple) and len(record.args) == 5:
        client, method, path, version, status = record.args
        record.args = (client, method, str(path).partition("?")[0], version, status)
    return True


def configure_logging(settings: Settings) -> None:
    """Send every log line to stderr, as text for people or as one JSON object each, with the id of its request."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    log_format = settings.log_format or ("json" if settings.environment == "production" else "console")
    # Tracebacks without the variables, which both formats would show: among them are passwords.
    final: list[structlog.typing.Processor] = (
        [
            structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
        ]
        if log_format == "json"
        else [structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *final],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    access = logging.getLogger("uvicorn.access")
    # Once, however often this is called.
    access.removeFilter(without_query)
    access.addFilter(without_query)
    # It says at each question about the schema which database it is on, and at the first which plugins it has.
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)
