"""HTTP/2 connections to one host, and the certainty whether a call left on one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import grpc
import grpc.aio
from google.cloud.aiplatform_v1.services.prediction_service import PredictionServiceAsyncClient
from google.cloud.aiplatform_v1.services.prediction_service.transports import PredictionServiceGrpcAsyncIOTransport

from domain.errors import FaultClass, ProviderError
from resources.llm.providers.vertex.names import Target

# Google's front ends take about this many calls at once per connection and queue the rest.
CALLS_PER_CHANNEL = 100
MAX_MESSAGE_BYTES = 64 * 2**20

_OPTIONS: list[tuple[str, int]] = [
    ("grpc.enable_retries", 0),  # every attempt is admitted and charged by itself
    ("grpc.use_local_subchannel_pool", 1),  # else all channels to a host share one connection
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
]


class Channels:
    """As many connections as `max_calls` at once need, used in turn. Belongs to the running event loop."""

    def __init__(self, target: Target, max_calls: int) -> None:
        wanted = -(-max_calls // CALLS_PER_CHANNEL)
        self._pairs = [_open(target) for _ in range(wanted)]
        self._turn: Iterator[tuple[grpc.aio.Channel, PredictionServiceAsyncClient]] = itertools.cycle(self._pairs)

    async def ready_client(self) -> PredictionServiceAsyncClient:
        """The next connection's client, connected: until here it is certain that no byte of a call left.

        Raises:
            ProviderError: CONNECTION, never sent.
        """
        channel, client = next(self._turn)
        state = channel.get_state(try_to_connect=True)
        while state is not grpc.ChannelConnectivity.READY:
            if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
                raise ProviderError(
                    "the endpoint cannot be reached",
                    fault=FaultClass.CONNECTION,
                    never_sent=True,
                    mend="check base_url, location and the network.",
                )
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        return client

    async def close(self) -> None:
        """Close every connection; calls under way end."""
        for channel, _ in self._pairs:
            await channel.close()


def _open(target: Target) -> tuple[grpc.aio.Channel, PredictionServiceAsyncClient]:
    channel = (
        grpc.aio.secure_channel(target.address, grpc.ssl_channel_credentials(), options=_OPTIONS)
        if target.encrypted
        else grpc.aio.insecure_channel(target.address, options=_OPTIONS)
    )
    return channel, PredictionServiceAsyncClient(transport=PredictionServiceGrpcAsyncIOTransport(channel=channel))
