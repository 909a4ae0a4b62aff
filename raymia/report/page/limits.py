"""What the numbers do not say."""

from raymia.report.page.points import Points


def limits(points: Points) -> list[str]:
    missing = sum(row.digest not in points.again for row in points.front)
    several = len(points.rows) < len(points.runs)
    but = ", but of the draws where a point has several runs" if several else ""
    said = [
        f"{missing} of the {len(points.front)} points of the front are not confirmed. A point "
        "stands there partly because it was lucky: the best of many noisy numbers looks better "
        "than it is (the winner's curse). `raymia confirm` trains the front again with fresh "
        "seeds; decide on those numbers."
        if missing
        else "The front was trained again with fresh seeds: decide on the confirmed numbers. Those "
        "of the search look better than they are, because the points were chosen by them (the "
        "winner's curse).",
        "An AUC is that of the attacks that ran, not of every attack there could be: a low one is "
        "no proof of privacy.",
        "An AUC is an average over records. Single records can be far more exposed than it says: "
        "see TPR at low FPR and the most exposed records, and plant canaries.",
        "Intervals of the search are of the records, given the trained models"
        f"{but}; confirmed ones are of the draws of training and records, too.",
        "The models that were attacked are those of the sweep, trained on a part of the records. A "
        "model that is trained for use on all of them was not attacked.",
    ]
    if any(row.numbers.get("epsilon") is not None for row in points.rows):
        said.append(
            "An epsilon is that of one training run: the search for the knobs on the same data is "
            "not in it."
        )
    return said
