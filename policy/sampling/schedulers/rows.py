"""One row for each scheduler of diffusers that compiles to a table.

A row says which scheduler, in which coordinates its state lives, how it is told an explicit grid
and which of its settings a user may change; `probe` reads the table off its `step`. Those left out
are other rows under another name (CogVideoXDDIM, DDPMWuerstchen, UnCLIP, FlowMapEuler, MiniMaxH3),
not linear in the estimates (ScoreSdeVe), in need of a Brownian tree (DPMSolverSDE,
CosineDPMSolver), or made for pictures and tokens alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from . import installers
from .probe import FLATTEST, STEEPEST, Coordinates, Scheduler, epsilon, v_prediction, velocity


def _flow_length(angle: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return |(alpha, sigma)| where alpha + sigma = 1."""
    return 1 / (angle.sin() + angle.cos())


VP = Coordinates(torch.ones_like)
VP_CUMPROD = Coordinates(torch.ones_like, flattest=FLATTEST)
VP_DIVIDED = Coordinates(torch.ones_like, flattest=FLATTEST, steepest=STEEPEST)
VP_LOG = Coordinates(torch.ones_like, steepest=STEEPEST)
VE = Coordinates(lambda angle: 1 / angle.cos(), steepest=STEEPEST)
FLOW = Coordinates(_flow_length)

_SAMPLE = {"prediction_type": "sample"}
_SMALL = {"num_train_timesteps": 2}  # its constructor is slow in them
_V = {"prediction_type": "v_prediction"}
_ANCESTRAL = {**_SAMPLE, "timestep_spacing": "trailing", "clip_sample": False}
_EDM = {**_V, "sigma_data": 1.0}
_CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")
_FINAL = ("solver_type", "lower_order_final", "euler_at_final")

_tan = installers.install_sigmas(torch.tan)
_flow = installers.install_sigmas(installers.flow_sigma)


def _with_tau(cls: Any, settings: dict[str, Any]) -> Any:
    """Make SA-Solver, which takes its tau as a function of time."""
    tau = settings.pop("tau")
    return cls(tau_func=lambda t: tau, **settings)


def _dpmpp(order: int, source: str, *, noisy: bool = False, name: str = "Multistep") -> Scheduler:
    """DPM-Solver++ of some order, its SDE variant if `noisy`."""
    algorithm = "sde-dpmsolver++" if noisy else "dpmsolver++"
    settings = {**_SAMPLE, "solver_order": order, "algorithm_type": algorithm}
    if name == "Singlestep":
        settings["lower_order_final"] = True
    return Scheduler(
        f"DPMSolver{name}Scheduler",
        VP_LOG,
        _tan,
        source,
        None if noisy else min(order, 2) if name == "Multistep" else order,
        settings,
        _FINAL if name == "Multistep" else ("solver_type",),
    )


_unipc = partial(Scheduler, "UniPCMultistepScheduler", VP_LOG, _tan)
_deis = partial(Scheduler, "DEISMultistepScheduler", VP_LOG, installers.install_short)
_edm = partial(Scheduler, "EDMDPMSolverMultistepScheduler", VE, _tan)


def _order(order: int) -> dict[str, Any]:
    """Return the settings of a solver of some order."""
    return {**_SAMPLE, "solver_order": order}


#: Solver name -> its scheduler.
SCHEDULERS: dict[str, Scheduler] = {
    "ddpm": Scheduler(
        "DDPMScheduler",
        VP_CUMPROD,
        installers.install_cumprod,
        "Ho et al. 2020, algorithm 2",
        None,
        _ANCESTRAL,
        ("variance_type",),
    ),
    "ddim": Scheduler(
        "DDIMScheduler",
        VP_CUMPROD,
        installers.install_cumprod,
        "Song et al. 2021b, eq. 12",
        1,
        _ANCESTRAL,
        ("eta",),
    ),
    "dpmpp_1": _dpmpp(1, "Lu et al. 2022b, eq. 9"),
    "dpmpp_2m": _dpmpp(2, "Lu et al. 2022b, algorithm 2"),
    # Of order 2: the second difference is given half of its weight; `exponential_3` is of order 3.
    "dpmpp_3m": _dpmpp(3, "Lu et al. 2022b, multistep of order 3"),
    "dpmpp_2s": _dpmpp(2, "Lu et al. 2022b, algorithm 1", name="Singlestep"),
    "dpmpp_3s": _dpmpp(3, "Lu et al. 2022b, single-step of order 3", name="Singlestep"),
    "sde_dpmpp_1": _dpmpp(1, "Lu et al. 2022b, SDE-DPM-Solver++1", noisy=True),
    "sde_dpmpp_2m": _dpmpp(2, "Lu et al. 2022b, SDE-DPM-Solver++(2M)", noisy=True),
    "sde_dpmpp_3m": _dpmpp(3, "Lu et al. 2022b, SDE of order 3", noisy=True),
    "sde_dpmpp_2s": _dpmpp(2, "Lu et al. 2022b, SDE", noisy=True, name="Singlestep"),
    "unipc_1": _unipc("Zhao et al. 2023a, UniPC-1", 2, _order(1)),
    "unipc": _unipc("Zhao et al. 2023a, UniPC-2", 3, _order(2)),
    "unipc_3": _unipc("Zhao et al. 2023a, UniPC-3", 3, _order(3)),
    "deis_1": _deis("Zhang & Chen 2023, DEIS of order 1", 1, _order(1)),
    "deis": _deis("Zhang & Chen 2023, log-rho AB-DEIS of order 2", 2, _order(2)),
    "deis_3": _deis("Zhang & Chen 2023, log-rho AB-DEIS of order 3", 3, _order(3)),
    "sa_solver": Scheduler(
        "SASolverScheduler",
        VP_LOG,
        installers.install_short,
        "Xue et al. 2023, algorithm 1",
        None,
        {**_SAMPLE, "tau": 1.0},
        ("tau", "predictor_order", "corrector_order", "lower_order_final"),
        construct=_with_tau,
    ),
    "heun": Scheduler(
        "HeunDiscreteScheduler",
        VE,
        installers.install_pairs(torch.tan),
        "Karras et al. 2022, algorithm 1",
        2,
        _SAMPLE,
    ),
    "kdpm2": Scheduler(
        "KDPM2DiscreteScheduler",
        VE,
        installers.install_midpoints,
        "Karras et al. 2022, algorithm 2 without churn, as in k-diffusion",
        2,
        _SMALL,
        language=epsilon,
    ),
    "kdpm2_ancestral": Scheduler(
        "KDPM2AncestralDiscreteScheduler",
        VE,
        installers.install_ancestral_midpoints,
        "Karras et al. 2022, algorithm 2 with ancestral steps, as in k-diffusion",
        None,
        _SMALL,
        language=epsilon,
    ),
    "euler_discrete": Scheduler(
        "EulerDiscreteScheduler",
        VE,
        _tan,
        "Karras et al. 2022, algorithm 2 of first order",
        1,
        _SAMPLE,
        _CHURN,
    ),
    "euler_ancestral": Scheduler(
        "EulerAncestralDiscreteScheduler",
        VE,
        _tan,
        "ancestral Euler steps, as in k-diffusion",
        None,
        language=epsilon,
    ),
    "edm_euler": Scheduler(
        "EDMEulerScheduler",
        VE,
        _tan,
        "Karras et al. 2022, algorithm 2 of first order, preconditioned",
        1,
        _EDM,
        _CHURN,
        v_prediction,
    ),
    "edm_dpmpp_2m": _edm(
        "Lu et al. 2022b in the coordinates of Karras et al. 2022",
        2,
        _EDM,
        _FINAL,
        v_prediction,
    ),
    "edm_sde_dpmpp_2m": _edm(
        "Lu et al. 2022b, SDE, in the coordinates of Karras et al. 2022",
        None,
        {**_EDM, "algorithm_type": "sde-dpmsolver++"},
        _FINAL,
        v_prediction,
    ),
    "lms": Scheduler(
        "LMSDiscreteScheduler",
        VE,
        installers.install_lms,
        "linear multistep of order 4 in sigma / alpha, as in k-diffusion",
        4,
        _SAMPLE,
        ("order",),
        extrapolates=True,
    ),
    "pndm": Scheduler(
        "PNDMScheduler",
        VP_DIVIDED,
        installers.install_pndm,
        "Liu et al. 2022, PLMS",
        2,
        {"skip_prk_steps": True, "set_alpha_to_one": True, "timestep_spacing": "trailing"},
        language=epsilon,
        extrapolates=True,
    ),
    "ipndm": Scheduler(
        "IPNDMScheduler",
        VP_DIVIDED,
        installers.install_ipndm,
        "Zhang & Chen 2023, iPNDM of order 4",
        2,
        language=v_prediction,
        extrapolates=True,
    ),
    "lcm": Scheduler(
        "LCMScheduler",
        VP_CUMPROD,
        installers.install_lcm,
        "Luo et al. 2023, multistep sampling",
        None,
        {**_SAMPLE, "timestep_scaling": 1e12},
        jumps=True,
    ),
    "consistency_models": Scheduler(
        "CMStochasticIterativeScheduler",
        VE,
        installers.install_consistency,
        "Song et al. 2023, algorithm 1",
        None,
        {"sigma_min": 0.0, "sigma_max": 1e15, "sigma_data": 1.0, "clip_denoised": False},
        ("s_noise",),
        lambda *level: -v_prediction(*level),
        jumps=True,
    ),
    "scm": Scheduler(
        "SCMScheduler",
        VP,
        installers.install_angles,
        "Lu & Song 2025, sCM with TrigFlow",
        None,
        {"sigma_data": 1.0},
        language=v_prediction,
        jumps=True,
    ),
    "flow_euler": Scheduler(
        "FlowMatchEulerDiscreteScheduler",
        FLOW,
        _flow,
        "Lipman et al. 2023, Euler",
        1,
        language=velocity,
    ),
    "flow_heun": Scheduler(
        "FlowMatchHeunDiscreteScheduler",
        FLOW,
        installers.install_pairs(installers.flow_sigma),
        "Heun's method on straight lines",
        2,
        language=velocity,
    ),
    "flow_euler_ancestral": Scheduler(
        "LTXEulerAncestralRFScheduler",
        FLOW,
        installers.install_ltx,
        "ancestral Euler steps on straight lines, as in ComfyUI",
        None,
        {"eta": 1.0},
        ("eta", "s_noise"),
        velocity,
    ),
    "flow_lcm": Scheduler(
        "FlowMatchLCMScheduler",
        FLOW,
        _flow,
        "Luo et al. 2023, on straight lines",
        None,
        language=velocity,
        jumps=True,
    ),
}
