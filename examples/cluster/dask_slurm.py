"""A volume on the workers that Slurm gives, by Dask: they come and go, and the work goes on.

    pip install "cunet[dask]" dask-jobqueue
    python examples/cluster/dask_slurm.py brain.ome.zarr cells.ome.zarr --workers 20

Workers that are lost are replaced; the blocks they had begun are done by others. Where it is ended
itself, the same command goes on. `cunet segment ... --cluster tcp://host:8786` does the same with a
scheduler that runs already.
"""

import argparse

from dask_jobqueue import SLURMCluster

import cunet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("out")
    parser.add_argument("--model", default="em")
    parser.add_argument("--workers", type=int, default=20)
    arguments = parser.parse_args()
    cluster = SLURMCluster(
        cores=1,  # runs of blocks at a time; the threads of the network are the worker's own
        processes=1,
        memory="8GB",
        walltime="08:00:00",
        job_extra_directives=["--gpus-per-task=1", "--cpus-per-task=4"],
        # a worker that nears its limit ends by itself, and hands back what it has not begun
        worker_extra_args=["--lifetime", "7h45m", "--lifetime-stagger", "5m"],
    )
    with cluster:
        cluster.adapt(minimum=1, maximum=arguments.workers)
        found = cunet.segment_volume(
            arguments.source,
            arguments.out,
            arguments.model,
            products=("mask", "labels"),
            cluster=cluster.scheduler_address,
            progress=lambda done, total, what: print(f"{done:,} of {total:,} {what}", flush=True),
        )
    print(f"{found['objects']:,} objects")


if __name__ == "__main__":
    main()
