from pipelines.report.collect import collect_report


def test_a_report_is_collected_from_a_root_alone(root, dataset):
    """Its parts agree: rows by kind, outcomes, sources, languages and licences."""
    report = collect_report(root, dataset)
    ok = report.version.outcomes["ok"]

    assert ("animals", True, 4) == (report.folder_name, report.pocket, report.lists)
    assert ok == sum(report.ok_by_kind.values()) == report.licences.total() == report.ok_languages.total()
    assert report.version.candidates - ok == sum(outcome.rows for outcome in report.outcomes)
    assert report.version.candidates == sum(source.candidates for source in report.sources)
    assert report.version.candidates == report.listed_languages.total()
    assert [] == report.translators
