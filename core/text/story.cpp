// See story.h.
#include "core/text/story.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "core/base/error.h"

namespace headlight {

namespace {

// Ids by kind, in the order of story_words().
constexpr int32_t the_first = 0;  // "The", begins a story
constexpr int32_t the_next = 1;   // " The", begins any later sentence
constexpr int32_t the_place = 2;  // " the", before a place
constexpr int32_t stop = 3;       // "."
constexpr int32_t animals = 14;
constexpr int32_t place_verbs = 6;  // verbs that need a place; preposition i belongs to verb i
constexpr int32_t verbs = 12;
constexpr int32_t places = 12;
constexpr int32_t first_animal = 4;
constexpr int32_t first_verb = first_animal + animals;
constexpr int32_t first_preposition = first_verb + verbs;
constexpr int32_t first_place = first_preposition + place_verbs;
constexpr int32_t vocabulary = first_place + places;
constexpr int32_t cast = StoryGrammar::cast_size;
constexpr size_t plain_length = 4;   // The cat ran .
constexpr size_t placed_length = 7;  // The cat sat on the mat .

std::vector<std::string> story_words() {
  return {"The",    " The",   " the",  ".",       " cat",    " dog",    " bird",   " fox",
          " cow",   " duck",  " frog", " hen",    " horse",  " mouse",  " pig",    " rabbit",
          " sheep", " wolf",  " sat",  " hid",    " stood",  " looked", " jumped", " walked",
          " ran",   " slept", " sang", " danced", " smiled", " waited", " on",     " under",
          " by",    " at",    " over", " to",     " mat",    " box",    " bed",    " wall",
          " tree",  " chair", " door", " gate",   " lake",   " hill",   " barn",   " bridge"};
}

/// Whether `token` is one of the `count` words that begin at `first`.
bool in(int32_t token, int32_t first, int32_t count) { return token >= first && token < first + count; }

/// What an animal does in this story, as far as it has been told.
struct Deed {
  int32_t verb = -1;   // index among the verbs
  int32_t place = -1;  // index among the places, for verbs below place_verbs
};

/// Reads a story token by token and knows the exact distribution of the next one. It draws on nothing but
/// what has been told, which is what a model sees.
class Reader {
 public:
  /// Probability of every token as the next one.
  [[nodiscard]] std::vector<double> next() const {
    std::vector<double> p(vocabulary, 0.0);
    const auto certain = [&p](int32_t token) { p[static_cast<size_t>(token)] = 1.0; };
    const Deed* known = animal_ >= 0 && deeds_.contains(animal_) ? &deeds_.at(animal_) : nullptr;
    switch (expected_) {
      case Expected::the:
        certain(told_ == 0 ? the_first : the_next);
        break;
      case Expected::animal:
        next_animal(p);
        break;
      case Expected::verb:
        if (known != nullptr && known->verb >= 0) {
          certain(first_verb + known->verb);
        } else {
          spread(p, first_verb, verbs, [this](int32_t verb) { return !taken(&Deed::verb, verb); });
        }
        break;
      case Expected::preposition:
        certain(first_preposition + known->verb);
        break;
      case Expected::article:
        certain(the_place);
        break;
      case Expected::place:
        if (known->place >= 0) {
          certain(first_place + known->place);
        } else {
          spread(p, first_place, places, [this](int32_t place) { return !taken(&Deed::place, place); });
        }
        break;
      case Expected::full_stop:
        certain(stop);
        break;
    }
    return p;
  }

  /// Moves past a token that next() gives a probability above 0.
  void read(int32_t token) {
    told_ += 1;
    switch (expected_) {
      case Expected::the:
        expected_ = Expected::animal;
        break;
      case Expected::animal:
        animal_ = token - first_animal;
        deeds_.try_emplace(animal_);
        expected_ = Expected::verb;
        break;
      case Expected::verb:
        deeds_[animal_].verb = token - first_verb;
        expected_ = token - first_verb < place_verbs ? Expected::preposition : Expected::full_stop;
        break;
      case Expected::preposition:
        expected_ = Expected::article;
        break;
      case Expected::article:
        expected_ = Expected::place;
        break;
      case Expected::place:
        deeds_[animal_].place = token - first_place;
        expected_ = Expected::full_stop;
        break;
      case Expected::full_stop:
        expected_ = Expected::the;
        break;
    }
  }

 private:
  enum class Expected { the, animal, verb, preposition, article, place, full_stop };

  template <class Free>
  static void spread(std::vector<double>& p, int32_t first, int32_t count, Free&& free) {
    int32_t left = 0;
    for (int32_t i = 0; i < count; ++i) left += free(i) ? 1 : 0;
    for (int32_t i = 0; i < count; ++i) {
      if (free(i)) p[static_cast<size_t>(first + i)] = 1.0 / left;
    }
  }

  void next_animal(std::vector<double>& p) const {
    const auto seen = static_cast<int32_t>(deeds_.size());
    const int32_t choices = seen == 0 ? cast : cast - 1;  // anybody but the animal of the sentence before
    for (int32_t a = 0; a < animals; ++a) {
      double& chance = p[static_cast<size_t>(first_animal + a)];
      if (!deeds_.contains(a)) {
        chance = static_cast<double>(cast - seen) / choices / (animals - seen);
      } else if (a != animal_) {
        chance = 1.0 / choices;
      }
    }
  }

  [[nodiscard]] bool taken(int32_t Deed::*what, int32_t value) const {
    return std::any_of(deeds_.begin(), deeds_.end(),
                       [&](const auto& deed) { return deed.second.*what == value; });
  }

  Expected expected_ = Expected::the;
  int32_t animal_ = -1;  // of this sentence, or of the one before until this one names its own
  int64_t told_ = 0;
  std::map<int32_t, Deed> deeds_;
};

/// The first `count` of a random order of 0…n−1.
std::vector<int32_t> draw_without_replacement(Random& random, int32_t n, int32_t count) {
  std::vector<int32_t> all(static_cast<size_t>(n));
  for (int32_t i = 0; i < n; ++i) all[static_cast<size_t>(i)] = i;
  for (int32_t i = 0; i < count; ++i) {
    const auto j = static_cast<size_t>(i) + random.below(static_cast<uint64_t>(n - i));
    std::swap(all[static_cast<size_t>(i)], all[j]);
  }
  all.resize(static_cast<size_t>(count));
  return all;
}

/// Appends the first `length` tokens of a fresh story, made the way the class comment tells it: everything is
/// drawn first, then told.
void tell_story(Random& random, int64_t length, std::vector<int32_t>& out) {
  const std::vector<int32_t> who = draw_without_replacement(random, animals, cast);
  const std::vector<int32_t> verb = draw_without_replacement(random, verbs, cast);
  const std::vector<int32_t> place = draw_without_replacement(random, places, cast);
  const size_t end = out.size() + static_cast<size_t>(length);
  int32_t last = -1;
  while (out.size() < end) {
    int32_t next = 0;
    if (last < 0) {
      next = static_cast<int32_t>(random.below(cast));
    } else {
      next = static_cast<int32_t>(random.below(cast - 1));
      if (next >= last) next += 1;
    }
    const auto i = static_cast<size_t>(next);
    out.push_back(last < 0 ? the_first : the_next);
    out.push_back(first_animal + who[i]);
    out.push_back(first_verb + verb[i]);
    if (verb[i] < place_verbs) {
      out.push_back(first_preposition + verb[i]);
      out.push_back(the_place);
      out.push_back(first_place + place[i]);
    }
    out.push_back(stop);
    last = next;
  }
  out.resize(end);
}

/// A state of the exact computation, before a sentence begins: `named` animals so far, `placed` of them with
/// a place, and whether the last sentence told of a place.
struct Told {
  int32_t named = 0;
  int32_t placed = 0;
  int32_t last_placed = 0;  // 0 or 1
  auto operator<=>(const Told&) const = default;
};

}  // namespace

StoryGrammar::StoryGrammar() : tokenizer_(std::make_shared<WordTokenizer>(story_words())) {}

std::vector<int32_t> StoryGrammar::generate(Random& random, int64_t stories, int64_t length) const {
  if (stories < 0 || length < 0) fail("{} stories of {} tokens cannot be told", stories, length);
  std::vector<int32_t> out;
  out.reserve(static_cast<size_t>(stories * (length + 8)));
  for (int64_t i = 0; i < stories; ++i) tell_story(random, length, out);
  return out;
}

std::vector<double> StoryGrammar::next_probabilities(std::span<const int32_t> prefix) const {
  Reader reader;
  for (const int32_t token : prefix) {
    if (!in(token, 0, vocabulary) || reader.next()[static_cast<size_t>(token)] == 0.0) {
      return std::vector<double>(vocabulary, 0.0);
    }
    reader.read(token);
  }
  return reader.next();
}

std::vector<double> StoryGrammar::true_log_probs(std::span<const int32_t> window) const {
  if (window.empty()) return {};
  std::vector<double> out(window.size() - 1, -std::numeric_limits<double>::infinity());
  Reader reader;
  for (size_t i = 0; i < window.size(); ++i) {
    const double p = in(window[i], 0, vocabulary) ? reader.next()[static_cast<size_t>(window[i])] : 0.0;
    if (p == 0.0) break;
    if (i > 0) out[i - 1] = std::log(p);
    reader.read(window[i]);
  }
  return out;
}

double StoryGrammar::true_log_prob(std::span<const int32_t> window) const {
  double sum = 0;
  for (const double log_p : true_log_probs(window)) sum += log_p;
  return sum;
}

std::vector<double> StoryGrammar::position_entropy(int64_t T) const {
  if (T < 1) fail("T = {} is no window; use at least 1", T);
  // starts[t]: probability that a sentence begins with token t, by what was told before it.
  const auto size = static_cast<size_t>(T) + 1;
  std::vector<std::map<Told, double>> starts(size + placed_length);
  std::vector<double> entropy(size + placed_length, 0.0);  // entropy[t]: of token t
  starts[0][{}] = 1.0;
  for (size_t t = 0; t < size; ++t) {
    for (const auto& [told, mass] : starts[t]) {
      const auto [n, d, last] = told;
      const int32_t choices = n == 0 ? cast : cast - 1;
      const double p_each = 1.0 / choices;
      const double p_new = static_cast<double>(cast - n) / choices;

      // An animal named before, but not in the last sentence: which of them is uncertain (token t + 1),
      // nothing after.
      const int32_t old_placed = d - last;
      const int32_t old_other = n == 0 ? 0 : (n - d) - (1 - last);
      entropy[t + 1] += mass * (old_placed + old_other) * p_each * std::log(choices);
      if (old_placed > 0) starts[t + placed_length][{n, d, 1}] += mass * old_placed * p_each;
      if (old_other > 0) starts[t + plain_length][{n, d, 0}] += mass * old_other * p_each;

      // A new animal: token t + 1 is one of the (animals − n) not named yet, t + 2 one of the (verbs − n)
      // unused verbs and, where that needs a place, t + 5 one of the (places − d) unused places.
      if (n < cast) {
        const double p_place = static_cast<double>(place_verbs - d) / (verbs - n);
        entropy[t + 1] += mass * p_new * std::log((animals - n) / p_new);
        entropy[t + 2] += mass * p_new * std::log(verbs - n);
        entropy[t + 5] += mass * p_new * p_place * std::log(places - d);
        starts[t + placed_length][{n + 1, d + 1, 1}] += mass * p_new * p_place;
        starts[t + plain_length][{n + 1, d, 0}] += mass * p_new * (1.0 - p_place);
      }
    }
  }
  return {entropy.begin() + 1, entropy.begin() + static_cast<std::ptrdiff_t>(size)};
}

Corpus stories_corpus(uint64_t seed, int64_t tokens, int64_t T) {
  const StoryGrammar grammar;
  std::vector<double> entropy = grammar.position_entropy(T);
  Random random(seed);
  const int64_t length = T + 1;
  return Corpus("stories", grammar.tokenizer(),
                grammar.generate(random, std::max<int64_t>(2, tokens / length), length), length,
                std::move(entropy));
}

}  // namespace headlight
