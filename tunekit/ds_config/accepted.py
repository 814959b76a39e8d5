"""What DeepSpeed reads in its configuration, as data. It ignores any other key of the top level without a word.

Taken from `deepspeed/runtime/config.py` and the modules it calls; a contract test holds the lists against the library.
"""

from __future__ import annotations

from collections.abc import Mapping

DEEPSPEED_VERSION = "0.19.8"


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


TOP_LEVEL = _names("""
    activation_checkpointing aio autotuning bf16 bfloat16 checkpoint comet comms_logger communication_data_type compile
    csv_monitor data_efficiency data_types dataloader_drop_last datastates_ckpt disable_allgather disable_python_gc
    dump_state expert_parallel flops_profiler fp16 gradient_accumulation_steps gradient_allreduce_op gradient_clipping
    gradient_predivide_factor hybrid_engine log_level managed_gradient_accumulation memory_breakdown optimizer pipeline
    prescale_gradients scheduler seq_parallel_communication_data_type sequence_parallel_size data_parallel_size
    steps_per_print tensor_parallel tensorboard timers torch_autocast train_batch_size train_micro_batch_size_per_gpu
    use_data_before_expert_parallelism vocabulary_size wall_clock_breakdown wandb weight_quantization
    zero_allow_untested_optimizer zero_force_ds_cpu_optimizer zero_optimization
    """)

PREFIXED = _names("""
    prefetch_bucket_size param_persistence_threshold model_persistence_threshold max_live_parameters max_reuse_distance
    gather_16bit_weights_on_model_save module_granularity_threshold use_all_reduce_for_fetch_params
    allgather_sequential
    """)
"""Keys of `zero_optimization` that are written with the prefix `stage3_`; DeepSpeed takes them without it too."""

_BF16 = _names("bf16_master_weights_and_grads bf16_optimizer_states check_grad_overflow enabled immediate_grad_update")

SECTIONS: Mapping[str, frozenset[str]] = {
    "zero_optimization": PREFIXED
    | {f"stage3_{name}" for name in PREFIXED}
    | _names("""
        allgather_bucket_size allgather_partitions compute_grad_norm contiguous_gradients elastic_checkpoint
        enable_sanity_checks ignore_unused_parameters leaf_module legacy_stage1 load_from_fp32_weights
        log_trace_cache_warnings memory_efficient_linear offload_optimizer offload_param overlap_comm
        override_module_apply parameter_alignment pipeline_loading_checkpoint reduce_bucket_size reduce_scatter
        round_robin_gradients save_muon_momentum_buffer_in_memory stage sub_group_size
        use_multi_rank_bucket_allreduce zenflow zero_hpz_partition_size zero_quantized_gradients
        zero_quantized_nontrainable_weights zero_quantized_weights
        """),
    "zero_optimization.offload_optimizer": _names("""
        buffer_count cpuadam_cores_perc device fast_init nvme_path pin_memory pipeline_read pipeline_write ratio
        super_offload
        """),
    "zero_optimization.offload_param": _names("buffer_count buffer_size device max_in_cpu nvme_path pin_memory"),
    "zero_optimization.zenflow": _names("""
        auto_ratio full_warm_up_rounds offload overlap_step pt_reserved_cores_perc select_interval select_strategy
        steps_per_epoch topk_ratio update_interval
        """),
    "zero_optimization.leaf_module": _names("classes names name_suffixes"),
    "bf16": _BF16,
    "bfloat16": _BF16,
    "fp16": _names("""
        auto_cast consecutive_hysteresis enabled fp16_master_weights_and_grads hysteresis initial_scale_power
        loss_scale loss_scale_window min_loss_scale
        """),
    "aio": _names("block_size queue_depth intra_op_parallelism single_submit overlap_events use_gds"),
    "optimizer": _names("type params legacy_fusion"),
    "scheduler": _names("type params"),
}

REMOVED: Mapping[str, str] = {
    "nebula": "delete it; checkpoints are written with torch.save",
    "compression_training": "delete it; the compression library is gone",
    "amp": "delete it and set train.precision=bf16 (or fp16); Apex is no longer supported",
    "quantize_training": "delete it; for a 4-bit base set method.kind=qlora",
    "sparse_gradients": "delete it; embeddings built with sparse=True need no key",
    "eigenvalue": "delete it; it served quantize_training, which is gone",
    "sparse_attention": "delete it and set model.attention=sdpa or flash_attention_2",
    "elasticity": "delete it; the batch is fixed by train.micro_batch_size and train.gradient_accumulation_steps",
    "graph_harvesting": "delete it",
    "curriculum_learning": "delete it, or use data_efficiency.data_sampling.curriculum_learning",
    "progressive_layer_drop": "delete it",
    "zero_optimization.mics_shard_size": "delete it; MiCS is gone, stage 3 shards over all ranks",
    "zero_optimization.mics_hierarchical_params_gather": "delete it; MiCS is gone",
    "zero_optimization.zeropp_loco_param": "delete it; zero_quantized_gradients works without it",
    "zero_optimization.cpu_offload": 'write "offload_optimizer": {"device": "cpu", "pin_memory": true}',
    "zero_optimization.cpu_offload_param": 'write "offload_param": {"device": "cpu", "pin_memory": true}',
    "zero_optimization.cpu_offload_use_pin_memory": "write pin_memory in offload_optimizer and offload_param",
    "zero_optimization.stage3_gather_fp16_weights_on_model_save": (
        "write stage3_gather_16bit_weights_on_model_save instead"
    ),
}
"""Keys that DeepSpeed refuses, or takes with a warning as the old name of another; what to do instead."""
