"""The plan on Ray Tune, and what a launch shows meanwhile; only here Ray is imported.

Ray reads these settings when it is imported or started.
"""

import os

os.environ.update(
    {
        "RAY_AIR_NEW_OUTPUT": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
        "TUNE_DISABLE_SIGINT_HANDLER": "1",
        "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's state is never restored
        "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # failures/ has them
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",
        "RAY_prestart_worker_first_driver": "0",  # Tune's actors would not run in those
        "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    }
)
