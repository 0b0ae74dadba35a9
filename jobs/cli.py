"""echolens VERB ... = python -m jobs.VERB ..."""

from __future__ import annotations

import importlib
import sys

VERBS = {
    "demo": "build, search and report a small world of pictures and sounds",
    "plan": "read the lists and say what a build would fetch",
    "build": "lists -> media -> vectors -> index: the dataset",
    "refresh": "bring a dataset up to date with its lists and the web; publish the next version",
    "status": "what became of every row; versions; digest",
    "lookup": "the nearest neighbours of a text, a picture or a sound",
    "serve": "an API and a page to search with, over HTTP",
    "train": "fit translators between spaces, and measure them",
    "translate": "take all vectors of a column into another space",
    "generate": "make sounds of pictures, texts and sounds",
    "evaluate": "score ways between pictures, sounds and words on what nothing was trained on",
    "report": "write report.html: funnel, languages, norms, neighbours",
    "export": "write the vectors for another tool: clip-retrieval",
    "doctor": "what this machine has of what a dataset needs, and what to do about the rest",
    "schedule": "an entry for cron, systemd or Kubernetes that refreshes a dataset",
    "clean": "remove what no kept version names; take media out for good",
    "pocket": "train the pocket models again",
}


def format_usage() -> str:
    """Return the help text."""
    lines = [f"  {verb:<9} {does}" for verb, does in VERBS.items()]
    return "\n".join(
        [
            "usage: echolens VERB [options]",
            "",
            "Embedding datasets that connect pictures and sounds.",
            "",
            *lines,
            "",
            "Each verb explains itself: echolens VERB --help. To see all of it work: echolens demo",
        ]
    )


def main() -> None:
    """Hand over to the job that the first argument names."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in ("-h", "--help", "help"):
        print(format_usage())
        return
    if verb == "--version":
        from importlib.metadata import version

        print(f"echolens {version('echolens')}")
        return
    if verb not in VERBS:
        import difflib

        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"did you mean `echolens {near[0]}`?" if near else "`echolens --help` lists the verbs"
        sys.exit(f"echolens: there is no verb {verb!r}; {hint}")
    try:
        job = importlib.import_module(f"jobs.{verb}")
        from jobs.shared.job import run
    except KeyboardInterrupt:
        sys.exit("echolens: interrupted before anything was done")
    run(job.main, sys.argv[2:])


if __name__ == "__main__":
    main()
