"""Which number of the page speaks to which requirement, and what it cannot say.

Sources: OWASP Artificial Intelligence Security Verification Standard (AISVS), v1.0, locked;
chapter C11.2, which drafts had as C11.3. European Data Protection Board, Opinion 28/2024, adopted
17 December 2024: executive summary and paragraph 55.
"""

from typing import NamedTuple


class Requirement(NamedTuple):
    """`asks`: in its own words where they are short; `here`: what of the page speaks to it;
    `open`: what it asks that no number here says.
    """

    where: str
    asks: str
    here: str
    open: str


REQUIREMENTS = (
    Requirement(
        "OWASP AISVS 1.0, 11.2.5 (11.3.3 in drafts), level 3",
        "“membership-inference attack simulations demonstrate that attack accuracy does not exceed "
        "random guessing on evaluated data”",
        "the attack AUC with its interval (0.5 is guessing), TPR at low FPR, every attack by arm; "
        "shadows are trained under the same defense",
        "how far above guessing is still acceptable: that is the bar that you set",
    ),
    Requirement(
        "OWASP AISVS 1.0, 11.2.4 (11.3.2 in drafts), level 2",
        "“training on sensitive datasets employs differentially-private optimization”",
        "points of DP-SGD with epsilon and delta; accuracy over epsilon",
        "the search for knobs on the same data is not in epsilon; other defenses promise nothing",
    ),
    Requirement(
        "OWASP AISVS 1.0, 11.2.3 (11.3.1 in drafts), level 2",
        "“model outputs are calibrated to reduce overconfident predictions”",
        "the confidences of members and of non-members, before and after",
        "calibration itself (an expected calibration error) is not measured here",
    ),
    Requirement(
        "EDPB Opinion 28/2024, executive summary",
        "for a model to be anonymous, extraction of personal data and obtaining it from queries "
        "should be “insignificant”, taking into account “all the means reasonably likely to be "
        "used”",
        "the strongest of many attacks that know the defense; its upper end, not its average",
        "membership is one inference; a low AUC alone makes no model anonymous",
    ),
    Requirement(
        "EDPB Opinion 28/2024, “insignificant” for each data subject",
        "the likelihood counts for any data subject, not on average",
        "the most exposed records by their row, TPR at low FPR, the classes, planted canaries",
        "records that no target was judged on; people with several records",
    ),
    Requirement(
        "EDPB Opinion 28/2024, paragraph 55 (i)",
        "structured testing against attribute and membership inference",
        "this page, the attacks that it lists, their versions, the sweep file, fresh seeds",
        "attribute inference, exfiltration, regurgitation, inversion and reconstruction are not "
        "tested here",
    ),
)
