"""The rows of docs/reliability.md: faults that the product must handle, with the tests and scenarios for them."""

from dataclasses import dataclass

from faults import disk, inbox, kills, locks, promoters, rot, secret_leaks, servers, tampering, writers
from faults.context import Scenario, in_subprocess


@dataclass(frozen=True)
class Row:
    """A fault and its checks. tests: `FILE::FUNCTION` below tests/. scenarios: see `faults.context`.

    long: scenarios that a short run skips. alone: run no other row at the same time, because it measures durations.
    """

    number: int
    title: str
    tests: tuple[str, ...] = ()
    scenarios: tuple[Scenario, ...] = ()
    long: tuple[Scenario, ...] = ()
    alone: bool = False


def _tests(file: str, *functions: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{function}" for function in functions)


_DOWNLOAD, _ARCHIVES = "feedforward/data/sources/test_download.py", "feedforward/data/sources/test_archives.py"
_DAMAGED, _PROCESSES = "feedforward/data/test_damaged.py", "feedforward/core/test_processes.py"
_VALIDATOR, _UNREACHABLE_STORE = (
    "feedforward/data/validation/test_validator.py",
    "feedforward/tracking/test_unreachable_store.py",
)
_FAILED_RUNS, _RESUME = "feedforward/tracking/test_failed_runs.py", "feedforward/tracking/test_resume.py"
_DATABASE, _SESSIONS = "feedforward/tracking/test_database.py", "feedforward/tracking/test_sessions.py"
_REFUSALS, _HTTP_SERVER = "feedforward/serving/test_refusals.py", "feedforward/serving/test_http_server.py"
_SERVER, _PROMOTE = "feedforward/serving/test_server.py", "feedforward/promotion/test_promote.py"
_INTERRUPTED = "feedforward/promotion/test_interrupted_promotions.py"
_CHANGED_VERSIONS = "feedforward/promotion/test_changed_versions.py"
_BUNDLE, _NETWORK_FILES = "feedforward/promotion/test_bundle.py", "feedforward/models/test_network_files.py"
_KERAS_ARCHIVE = "feedforward/models/test_keras_archive.py"
_SIGNATURES = "feedforward/promotion/test_signatures.py"
_MODEL_VERSIONS = "feedforward/tracking/test_model_versions.py"
_RUNNER, _SAMPLE_FILES = "feedforward/experiments/test_runner.py", "feedforward/serving/test_sample_files.py"
_PREDICTION = "feedforward/serving/test_prediction.py"
_TOKENIZER, _LABELED_TEXT = (
    "feedforward/data/readers/test_tokenizer.py",
    "feedforward/data/readers/test_labeled_text.py",
)

ROWS = (
    Row(
        1,
        "a connection drops or stalls during a download",
        _tests(
            _DOWNLOAD,
            "temporary_failures_are_retried",
            "lasting_failures_are_reported_after_at_most_three_retries",
            "a_refused_connection_is_reported",
            "sources_are_tried_in_order",
            "message_names_every_source_that_was_tried",
        ),
    ),
    Row(
        2,
        "wrong bytes, or a web page with status 200 in place of the file",
        _tests(
            _DOWNLOAD,
            "wrong_content_is_reported_with_its_source_and_both_digests",
            "a_web_page_with_status_200_is_rejected_and_the_next_source_is_tried",
            "a_web_page_instead_of_a_plain_file_is_rejected",
        ),
    ),
    Row(
        3,
        "a damaged gzip file, a truncated tar file",
        _tests(
            _ARCHIVES,
            "truncated_gzip_is_detected",
            "a_changed_byte_of_an_archive_is_detected_or_has_no_effect",
            "error_shows_content_that_is_not_gzip",
            "a_truncated_tar_in_valid_gzip_is_rejected",
            "too_many_and_too_few_members_are_rejected",
            "damaged_headers_are_rejected",
            "stored_content_that_is_missing_or_damaged_has_no_digest",
        )
        + _tests(
            _DAMAGED,
            "a_damaged_file_is_rejected_with_a_one_line_message",
            "a_randomly_corrupted_file_is_read_or_rejected",
        ),
    ),
    Row(
        4,
        "a hostile tar file",
        _tests(
            _ARCHIVES,
            "hostile_and_unexpected_members_are_skipped",
            "a_hundred_thousand_unexpected_members_are_skipped",
            "a_duplicate_member_is_rejected",
            "a_sparse_file_is_rejected",
            "garbage_in_a_tar_raises_only_data_errors",
        )
        + _tests(
            _DAMAGED,
            "a_hostile_archive_writes_only_reviews_or_nothing",
            "a_corrupted_tar_has_the_right_digest_only_if_its_members_are_correct",
        ),
    ),
    Row(
        5,
        "a decompression bomb",
        _tests(
            _ARCHIVES,
            "a_decompression_bomb_is_stopped_at_the_limit",
            "a_gzip_with_too_many_empty_parts_is_rejected",
            "the_size_of_a_plain_file_is_limited",
        )
        + _tests(_NETWORK_FILES, "a_decompression_bomb_is_not_unpacked")
        + _tests(_KERAS_ARCHIVE, "a_decompression_bomb_is_not_unpacked"),
    ),
    Row(
        6,
        "a pickle in place of an array",
        _tests("feedforward/data/test_splits.py", "error_names_the_damaged_or_dangerous_file")
        + _tests(
            "feedforward/data/test_splits.py", "a_corrupted_or_truncated_file_gives_a_data_error_or_a_readable_split"
        )
        + _tests(_NETWORK_FILES, "weights_that_are_not_plain_arrays_are_rejected")
        + _tests(_KERAS_ARCHIVE, "extra_archive_members_and_other_files_are_rejected"),
    ),
    Row(
        7,
        "the disk is full",
        _tests("feedforward/core/test_atomic_files.py", "after_an_exception_only_the_old_content_exists"),
        (disk.fill_during_stages,),
    ),
    Row(
        8,
        "kill -9 of the whole process group, or of one process at a crash point",
        _tests(_FAILED_RUNS, "a_kill_while_logging_loses_only_an_incomplete_record")
        + _tests(_DATABASE, "a_database_whose_creation_was_interrupted_is_created_again")
        + _tests(_INTERRUPTED, "an_interrupted_promotion_is_completed_by_the_next_one"),
        (kills.kill_groups,),
    ),
    Row(
        9,
        "kill -9 of dvc alone",
        _tests(_PROCESSES, "a_process_exits_if_its_parent_or_grandparent_is_killed"),
        (kills.kill_dvc_only,),
    ),
    Row(
        10,
        "bit rot in DVC's cache",
        _tests("feedforward/experiments/test_verification.py", "an_undamaged_cache_passes_verification"),
        (rot.flip_bits,),
    ),
    Row(
        11,
        "a truncated dvc.lock or rwlock",
        _tests(
            "pipelines/test_dvc_repro.py",
            "an_rwlock_is_removed_if_no_dvc_is_running",
            "a_truncated_lock_file_is_renamed",
        ),
        (locks.truncate_locks,),
    ),
    Row(
        12,
        "two jobs at the same time",
        _tests("pipelines/test_dvc_repro.py", "error_names_the_running_dvc_process")
        + _tests(_PROCESSES, "the_error_names_the_running_job_and_a_kill_releases_the_lock"),
        (locks.start_second_job,),
    ),
    Row(
        13,
        "the tracking server is killed or frozen",
        _tests(
            _UNREACHABLE_STORE,
            "no_record_is_lost_if_a_server_is_down_and_then_freezes",
            "training_continues_without_a_store_and_results_are_reused",
            "a_damaged_record_does_not_block_the_others",
        ),
        long=(servers.stop_server,),
        alone=True,
    ),
    Row(14, "several writers on a store that does not exist yet", (), (writers.write_concurrently,)),
    Row(
        15,
        "a worker is lost",
        _tests(_SESSIONS, "only_runs_of_dead_processes_are_closed")
        + _tests("pipelines/test_operations.py", "the_device_of_a_killed_training_job_is_released")
        + _tests(
            "pipelines/test_dask_training.py", "two_workers_one_of_which_is_lost_write_the_same_bytes_as_one_machine"
        ),
    ),
    Row(
        16,
        "a loss that is not finite",
        _tests(_RUNNER, "a_non_finite_loss_gives_failed_runs_without_models")
        + _tests(
            "feedforward/training/test_trainer.py",
            "a_replica_with_a_non_finite_loss_fails_without_affecting_others",
        )
        + _tests(_FAILED_RUNS, "a_non_finite_metric_fails_the_run"),
    ),
    Row(
        17,
        "only one label, a missing class, or shuffled labels",
        _tests(_VALIDATOR, "a_missing_class_is_reported_with_counts")
        + _tests(_PROMOTE, "invalid_challengers_are_rejected"),
    ),
    Row(
        18,
        "no rows, a missing column, an empty expectation suite",
        _tests(
            _VALIDATOR,
            "a_split_without_rows_fails_every_check",
            "an_empty_profile_fails_every_check",
            "an_empty_suite_fails_validation",
            "a_rule_without_a_result_fails_validation",
            "a_missing_value_fails_the_check",
        )
        + _tests("feedforward/data/validation/test_profile.py", "a_missing_column_fails_validation"),
    ),
    Row(
        19,
        "overlap, duplicates, empty texts",
        _tests(
            _VALIDATOR,
            "overlap_and_duplicates_within_their_bounds_are_accepted_but_noted",
            "overlap_and_duplicates_above_their_bounds_fail",
            "every_value_out_of_bounds_is_detected",
        ),
    ),
    Row(
        20,
        "unusual texts: empty, not UTF-8, with NUL or right-to-left characters, or a megabyte long",
        _tests(_TOKENIZER, "nul_right_to_left_text_and_invalid_utf8_are_encoded")
        + _tests(_TOKENIZER, "a_megabyte_of_text_and_a_text_without_spaces_are_encoded")
        + _tests(
            _LABELED_TEXT,
            "texts_that_are_not_utf8_are_decoded_and_reported",
            "an_empty_text_sets_only_the_start_column",
        )
        + _tests(_SAMPLE_FILES, "invalid_utf8_is_replaced_and_the_line_is_reported"),
    ),
    Row(
        21,
        "mistakes in params.yaml",
        _tests(
            "feedforward/config/test_schema.py",
            "a_mistake_is_reported_with_its_key_value_and_allowed_range",
            "invalid_yaml_is_reported_in_one_line",
            "all_mistakes_are_listed_together",
            "commands_exit_with_2_before_any_work_starts_if_params_contain_a_mistake",
            "arbitrary_values_are_accepted_or_reported",
            "arbitrary_bytes_are_read_or_reported",
        ),
    ),
    Row(
        22,
        "an unknown dataset, variant or option",
        _tests("feedforward/experiments/test_plan.py", "unknown_dataset_and_variant_names_are_rejected")
        + _tests(
            "feedforward/cli/test_app.py",
            "a_mistake_on_the_command_line_is_reported_in_one_line",
            "error_names_the_folder_in_which_no_checkout_was_found",
            "a_folder_that_cannot_be_created_is_reported_in_one_line",
            "installed_program_exits_with_the_exit_code_of_the_error",
        ),
    ),
    Row(
        23,
        "a retraining starts while another one is running",
        _tests("pipelines/test_retraining_flow.py", "scheduled_retraining_trains_promotes_and_notifies"),
    ),
    Row(
        24,
        "twenty simultaneous promotions",
        _tests(_INTERRUPTED, "the_best_of_twenty_simultaneous_promotions_wins_and_the_log_has_no_gap"),
        (in_subprocess(promoters.race),),
    ),
    Row(
        25,
        "a model that was tampered with",
        _tests(_BUNDLE, "flipped_bits_in_any_file_are_detected", "changed_bundles_are_rejected")
        + _tests(_KERAS_ARCHIVE, "a_network_with_unknown_parts_is_rejected")
        + _tests(
            _NETWORK_FILES,
            "an_invalid_network_description_is_rejected",
            "weights_that_are_not_plain_arrays_are_rejected",
        )
        + _tests(
            _CHANGED_VERSIONS,
            "a_changed_artifact_is_rejected_before_it_is_loaded",
            "an_incomplete_upload_never_becomes_champion",
            "a_tampered_holdout_model_is_not_used_as_evidence",
            "the_logged_model_must_have_the_weights_that_the_run_recorded",
        )
        + _tests(_PREDICTION, "a_tampered_champion_or_variant_gives_no_prediction"),
        (in_subprocess(tampering.tamper),),
    ),
    Row(
        26,
        "a bad sample in a request for a prediction",
        _tests(
            _REFUSALS,
            "error_for_a_bad_request_is_one_line_that_names_the_field",
            "arbitrary_requests_are_answered_or_rejected",
            "service_stays_up_under_a_thousand_malformed_requests",
        )
        + _tests(_HTTP_SERVER, "a_slow_request_body_is_rejected_and_the_connection_closed")
        + _tests(_PREDICTION, "an_invalid_argument_gives_one_line_and_exit_code_2")
        + _tests(_SAMPLE_FILES, "a_table_without_readable_texts_is_refused_in_one_line"),
    ),
    Row(
        27,
        "secrets in the environment, URLs and parameters",
        _tests("feedforward/core/test_redaction.py", "a_secret_from_the_environment_is_masked_anywhere_in_a_text")
        + _tests("feedforward/tracking/test_logged_runs.py", "no_database_artifact_or_message_contains_a_secret")
        + _tests(_DOWNLOAD, "secrets_in_urls_are_not_printed"),
        long=(secret_leaks.search_for_secret,),
    ),
    Row(
        28,
        "a server bound to all interfaces",
        _tests("feedforward/core/test_hosts.py", "addresses_not_known_to_be_loopback_require_expose")
        + _tests("pipelines/test_prefect_server.py", "an_address_that_other_machines_can_reach_requires_expose")
        + _tests(_REFUSALS, "other_hosts_and_origins_are_rejected"),
    ),
    Row(
        29,
        "a task that is retried",
        _tests(_RESUME, "finishing_a_run_twice_logs_once", "sending_a_record_twice_changes_nothing"),
    ),
    Row(
        30,
        "a promotion with an MLflow server that proxies artifacts",
        _tests(
            "feedforward/promotion/test_over_a_server.py", "runs_are_promoted_and_rolled_back_over_a_tracking_server"
        )
        + _tests(_MODEL_VERSIONS, "a_version_on_a_server_is_downloaded_and_verified"),
    ),
    Row(
        31,
        "two processes download the same version at the same time",
        _tests(_MODEL_VERSIONS, "processes_that_download_a_version_at_the_same_time_get_a_complete_copy"),
    ),
    Row(
        32,
        "a kill between writing the champion's alias and writing its tags",
        _tests(_INTERRUPTED, "an_alias_that_moved_without_its_tags_is_reconciled")
        + _tests("feedforward/promotion/test_rollback.py", "an_interrupted_rollback_is_completed"),
    ),
    Row(
        33,
        "slow and idle clients of the service",
        _tests(
            _HTTP_SERVER,
            "an_idle_connection_is_closed_without_a_response",
            "a_slow_request_head_is_rejected_and_the_connection_closed",
            "a_slow_request_body_is_rejected_and_the_connection_closed",
            "connection_of_a_client_that_does_not_read_is_closed",
            "connections_over_the_limit_do_not_block_other_clients",
        ),
    ),
    Row(
        34,
        "several packs (jointly trained replicas) finish at the same time and log to a new store",
        _tests(
            "feedforward/tracking/test_connection.py",
            "concurrent_processes_that_log_the_same_inputs_complete_their_runs",
        ),
    ),
    Row(
        35,
        "the disk is full where the service stores samples",
        _tests("feedforward/serving/test_feedback.py", "an_unwritable_folder_gives_status_507"),
        (inbox.fill_disk,),
    ),
    Row(
        36,
        "a forged version whose digests match the registry",
        _tests(
            _SIGNATURES,
            "a_forged_version_is_rejected_only_with_a_key",
            "unsigned_versions_and_versions_signed_with_another_key_are_rejected",
            "gate_rejects_unsigned_versions_and_the_remedy_works",
            "a_variant_in_place_of_the_champion_is_rejected",
            "a_damaged_signature_is_rejected_with_a_one_line_message",
        ),
        (in_subprocess(tampering.forge),),
    ),
)
