"""Has the names that the plugin docker_challenges has, so that a test sees that ours differ."""

from __future__ import annotations

from typing import Any

from CTFd.api import CTFd_API_v1
from CTFd.plugins.challenges import CHALLENGE_CLASSES, BaseChallenge
from flask import Blueprint
from flask_restx import Namespace, Resource

container = Namespace("container", description="as docker_challenges calls it")


@container.route("")
class Containers(Resource):
    def get(self) -> dict[str, object]:
        return {"success": True, "data": "theirs"}


class DockerChallengeType(BaseChallenge):
    id = "docker"
    name = "docker"


class ContainerChallengeType(BaseChallenge):
    id = "container"
    name = "container"


def load(app: Any) -> None:
    for kind in (DockerChallengeType, ContainerChallengeType):
        kind.templates = CHALLENGE_CLASSES["standard"].templates
        kind.scripts = CHALLENGE_CLASSES["standard"].scripts
        CHALLENGE_CLASSES[kind.id] = kind
    app.register_blueprint(Blueprint("containers", __name__, url_prefix="/containers"))
    CTFd_API_v1.add_namespace(container, "/container")
