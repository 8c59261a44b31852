"""Where changes come from: the settings of each kind of source."""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from rtrag.config.kinds import SOURCES, kind_or


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PostgresSource(Section):
    """Changes by logical replication, read directly."""

    kind: Literal["postgres"] = Field(default="postgres", description="how changes are captured: postgres, kafka")
    slot: str = Field(
        default="rtrag", pattern=r"^[a-z0-9_]{1,63}$", description="replication slot, made if it is missing"
    )
    publication: str = Field(
        default="rtrag", min_length=1, max_length=63, description="publication, made if it is missing"
    )
    copy_page: int = Field(
        default=500, ge=1, le=100_000, description="rows read at a time by the first copy and by verify"
    )


class KafkaSource(Section):
    """Changes that Debezium has put into Kafka."""

    kind: Literal["kafka"] = Field(default="kafka", description="how changes are captured: postgres, kafka")
    topic_prefix: str = Field(
        default="rag.1",
        pattern=r"^[A-Za-z0-9._-]{1,200}\.[1-9][0-9]{0,8}$",
        description="the connector's topic.prefix; the number at its end is the epoch, raised with every new slot",
    )
    group: str = Field(default="update-service", min_length=1, max_length=200, description="consumer group")
    slot: str = Field(
        default="debezium",
        pattern=r"^[a-z0-9_]{1,63}$",
        description="the connector's slot.name, watched for its health",
    )
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="members of the group in this process: several batches are under way while a remote embedder works",
    )
    copy_page: int = Field(default=500, ge=1, le=100_000, description="rows read at a time by verify")
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict,
        description="further settings of the Kafka client, such as security.protocol (JSON object)",
    )

    @property
    def epoch(self) -> int:
        """Which generation of the slot the topics are of."""
        return int(self.topic_prefix.rpartition(".")[2])


SourceSettings: TypeAlias = Annotated[
    Annotated[PostgresSource, Tag("postgres")] | Annotated[KafkaSource, Tag("kafka")],
    Discriminator(kind_or(SOURCES)),
]
