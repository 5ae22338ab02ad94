"""Whether this installation works: everything that matters is tried, and each fault comes with the
command that fixes it. cpu.py looks at the processor's side, gpu.py at the GPU's."""

from cunet.doctor import cpu
from cunet.doctor.finding import BROKEN, Finding, attempt, reinstall
from cunet.doctor.gpu import examine_gpu


def examine() -> list[Finding]:
    """Look at everything, the processor first. Nothing is changed, nothing is raised."""
    convolution = attempt("convolution", cpu.try_convolution, reinstall("numpy"))
    processor = [cpu.python(), cpu.packages(), *cpu.blas(), cpu.threads()]
    return [*processor, convolution, cpu.machine_code(), *examine_gpu()]


def healthy(findings: list[Finding]) -> bool:
    """Whether nothing that is installed is broken."""
    return all(finding.state != BROKEN for finding in findings)
