// `headlight train`: a preset or a model on a text, with a log, checkpoints and exact resume.
#include <fmt/format.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "app/cli/model_options.h"
#include "app/cli/subcommands.h"
#include "core/base/error.h"
#include "core/io/atomic_file.h"
#include "core/model/model_folder.h"
#include "core/train/metrics.h"
#include "core/train/trainer.h"
#include "core/train/training_program.h"

namespace headlight::cli {
namespace {

volatile std::sig_atomic_t interrupted = 0;

struct TrainOptions {
  ModelOptions model;
  std::string text, log, out;
  int64_t steps = 0;
  bool resume = false;
  bool json = false;
};

/// The source to train: afresh, or with --resume the checkpoint in --out.
OpenedSource open_training(const TrainOptions& options, kernels::Backend& backend) {
  if (!options.model.tokenizer.empty() && (options.model.preset.empty() || options.text.empty())) {
    fail("--tokenizer goes with --preset and --text; a model folder keeps the tokenizer that it has");
  }
  if (!options.resume) return open_source(options.model, options.text, backend);
  if (options.out.empty()) fail("--resume goes on with the checkpoint in --out; name its folder there");
  ModelOptions from = options.model;
  from.model = options.out + "/";
  from.preset.clear();
  const ModelConfig saved = open_model_folder(options.out, backend).model.config;
  OpenedSource source = open_source(from, options.text, backend);
  if (!(source.model.config == saved)) {
    fail(
        "--resume goes on with the model as it is; leave --set of the model's own keys out, or train afresh "
        "into another "
        "--out");
  }
  if (!source.trainer)
    fail("{} is a model without a trainer's state; leave --resume out to start from its weights",
         options.out);
  return source;
}

void train(const TrainOptions& options) {
  const std::unique_ptr<kernels::Backend> backend = open_backend(options.model);
  OpenedSource source = open_training(options, *backend);
  if (options.steps > 0) source.train.steps = options.steps;
  if (!source.corpus) fail("there is no text to train on; name one with --text FILE");
  if (!options.out.empty()) make_folder(options.out);  // said now rather than behind an hour of training
  // Said before it is allocated; where it does not fit, the trainer says what would.
  const MemoryUse memory = memory_of_training(source.model.config, source.train, has_joint_steps(*backend));
  if (!options.json) fmt::print("{}: {}\n", backend->description(), memory_text(memory));
  Trainer trainer(source.model, source.corpus, source.train);
  if (source.trainer) {
    TrainerState state = *source.trainer;
    state.config = source.train;
    trainer.restore(state);
  }
  std::unique_ptr<MetricsLog> log;
  if (!options.log.empty()) log = std::make_unique<MetricsLog>(options.log, options.resume);
  int64_t saved_at = source.trainer ? trainer.steps_done() : -1;
  // Saving the same step twice would make the previous generation a copy of this one.
  const auto save = [&] {
    if (options.out.empty() || saved_at == trainer.steps_done()) return;
    save_model_folder(options.out, source.model, trainer.state(), source.history);
    saved_at = trainer.steps_done();
  };
  // All of them where the step that was just begun is to be looked at, else those that are done.
  const auto finished_points = [&](bool wait) {
    std::vector<HistoryPoint> all;
    try {
      for (;;) {
        std::vector<HistoryPoint> some = trainer.finished(wait);
        all.insert(all.end(), std::make_move_iterator(some.begin()), std::make_move_iterator(some.end()));
        if (!wait || some.empty()) return all;
      }
    } catch (const NonFiniteTraining&) {
      for (HistoryPoint& good : all) source.history.add(std::move(good));
      save();
      throw;
    }
  };
  const int64_t first_step = trainer.steps_done();
  if (first_step >= source.train.steps) {
    fail("{} steps are done already, and --steps asks for {}; name a larger number", first_step,
         source.train.steps);
  }

  interrupted = 0;
  const auto before = std::signal(SIGINT, [](int) { interrupted = 1; });
  const auto before_term = std::signal(SIGTERM, [](int) { interrupted = 1; });
  const int64_t tokens_a_step = source.train.B * source.train.T;
  double validation = 0, seconds = 0;
  bool evaluated = false;
  HistoryPoint point;
  {
    Progress progress("training");
    while (trainer.steps_done() < source.train.steps && interrupted == 0) {
      trainer.begin_step();
      const int64_t step = trainer.steps_done();
      const bool last = step == source.train.steps || interrupted != 0;
      const bool evaluates = last || (source.train.eval_every > 0 && step % source.train.eval_every == 0);
      for (const HistoryPoint& done : finished_points(evaluates)) {
        point = done;
        source.history.add(point);
        seconds += static_cast<double>(tokens_a_step) / point.tokens_per_second;
        MetricPoint metric{
            point.step,          point.step * tokens_a_step, point.train_loss,        std::nullopt,
            point.gradient_norm, point.learning_rate,        point.tokens_per_second, seconds};
        if (evaluates && point.step == step) {
          validation = trainer.evaluate();
          evaluated = true;
          metric.val_loss = validation;
          source.history.add(ValidationPoint{point.step, validation});
          save();
        }
        if (log) log->add(metric);
        progress.show(point.step, source.train.steps,
                      fmt::format("step {}  loss {:.3f}  val {:.3f}  {:.0f} tokens/s", point.step,
                                  point.train_loss, validation, point.tokens_per_second));
      }
    }
  }
  std::signal(SIGINT, before);
  std::signal(SIGTERM, before_term);
  const bool stopped = interrupted != 0;
  if (!evaluated) validation = trainer.evaluate();
  save();
  if (stopped) {
    fail("interrupted after {} of {} steps{}", trainer.steps_done(), source.train.steps,
         options.out.empty() ? "; nothing was saved, as no --out was named"
                             : fmt::format("; saved to {}, go on with --resume", options.out));
  }
  const auto floor = source.corpus->entropy_floor(source.train.T);
  if (options.json) {
    fmt::print(
        "{{\"steps\": {}, \"train_loss\": {:.6f}, \"validation_loss\": {:.6f}, \"seconds\": {:.3f}, "
        "\"tokens\": {}, \"memory\": {}}}\n",
        trainer.steps_done(), point.train_loss, validation, seconds, trainer.steps_done() * tokens_a_step,
        memory_to_json(memory).dump());
    return;
  }
  fmt::print("{} steps on {}: train loss {:.4f}, validation loss {:.4f}{}; {:.1f} s of steps\n",
             trainer.steps_done(), source.corpus->name(), point.train_loss, validation,
             floor ? fmt::format(" (entropy floor {:.4f})", *floor) : "", seconds);
  if (!options.out.empty()) fmt::print("saved to {}\n", options.out);
}

}  // namespace

void add_train(CLI::App& app) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App* command = app.add_subcommand("train", "train a model on a text");
  options->model.add_to(*command);
  command->add_option("--text", options->text, "UTF-8 text file (default: the built-in stories)");
  command->add_option("--tokenizer", options->model.tokenizer,
                      "folder of the tokenizer that a preset takes for --text (default: its characters)");
  command->add_option("--steps", options->steps, "where training stops (default: the preset's)")
      ->check(CLI::PositiveNumber);
  command->add_option("--log", options->log, "metrics of each step as JSONL, or CSV for a name in .csv");
  command->add_option("--out", options->out, "folder for the model and its checkpoints");
  command->add_flag("--resume", options->resume, "go on with the checkpoint in --out, bit for bit");
  command->add_flag("--json", options->json, "print the result as one JSON value");
  command->callback([options] { train(*options); });
}

}  // namespace headlight::cli
