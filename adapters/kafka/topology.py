"""The route map as the environment configures it."""

from penstock.connection import PipelineNames
from schemas.topics import RouteMap


def route_map(names: PipelineNames) -> RouteMap:
    """Give the route map of this pipeline."""
    return RouteMap(partitions=names.partitions, pools=names.pool_names, prefix=names.topic_prefix)
