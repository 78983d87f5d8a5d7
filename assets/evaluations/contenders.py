"""Which prompt versions meet in an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from resources.database.repositories import prompt_versions
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION
from resources.storage.handles import OptimizationHandle, PromptHandle


@dataclass(frozen=True, slots=True)
class Contenders:
    """Production, what may replace it, and baselines that may not."""

    production: PromptVersionRecord
    candidates: tuple[PromptVersionRecord, ...]
    references: tuple[PromptVersionRecord, ...]


def find_contenders(database: Database, authored: PromptHandle, optimized: OptimizationHandle | None) -> Contenders:
    """The authored prompt and the newest optimization's result, against whatever is in production.

    Raises:
        NotFoundError: a version or the production alias is missing from the database.
    """
    candidate_ids = [authored.prompt_version_id, *([optimized.result_id] if optimized else [])]
    reference_ids = optimized.reference_ids if optimized else ()
    with database.session(read_only=True) as session:
        production = prompt_versions.get(session, authored.task, PRODUCTION)
        candidates = tuple(prompt_versions.get(session, authored.task, one) for one in candidate_ids)
        references = tuple(prompt_versions.get(session, authored.task, one) for one in reference_ids)
    return Contenders(production, candidates, references)
