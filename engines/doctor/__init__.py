"""What of a site's set-up keeps instances from starting, and how to put it right.

``whale-ready doctor`` prints it, the plugin's settings page shows it, and each process logs once
what is wrong when it starts (docs/doctor.md).
"""

from engines.doctor.examination import examine, examine_docker
from engines.doctor.findings import DoctorFinding, FindingState
from engines.doctor.setup_watch import SetupWatch

__all__ = ["DoctorFinding", "FindingState", "SetupWatch", "examine", "examine_docker"]
