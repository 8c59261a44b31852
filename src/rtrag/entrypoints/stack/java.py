"""How the Java servers are started."""

from pathlib import Path

from rtrag.entrypoints.stack.packages import require_program


def java_command(*, jars: Path, main_class: str, heap: str, options: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The command that runs a class from a folder of jars, to be followed by its arguments. Raises CommandError."""
    return (
        str(require_program("java")),
        f"-Xmx{heap}",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExplicitGCInvokesConcurrent",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
        *options,
        "-cp",
        f"{jars}/*",
        main_class,
    )
