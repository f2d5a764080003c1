// `headlight tokenize` as a program: standard input and output, streams both ways, exit status.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "core/base/random.h"
#include "tests/end_to_end/program.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::Outcome;
using test::run;
using test::TemporaryFolder;

class Tokenize : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_.write("tokenizer.json", test::bytes_of(test::golden_folder() / "tokenizers/gpt2.json"));
    with_ = "tokenize --tokenizer " + folder_.path().string();
  }
  TemporaryFolder folder_;
  std::string with_;
};

TEST_F(Tokenize, GivesIdsAndTextBack) {
  const Outcome ids = run(with_ + " 'The cat sat on the mat'");
  EXPECT_EQ(ids.status, 0);
  const std::string line = ids.output.substr(0, ids.output.size() - 1);
  EXPECT_EQ(run(with_ + " --decode '" + line + "'").output, "The cat sat on the mat\n");
  const Outcome json = run(with_ + " --json ế");
  EXPECT_NE(json.output.find("\"bytes\": \"E1"), std::string::npos) << json.output;
}

TEST_F(Tokenize, StreamsAnyBytesThereAndBack) {
  std::string bytes(200'000, '\0');
  Random random(7);
  for (char& c : bytes) c = static_cast<char>(random.below(3) == 0 ? ' ' : random.below(256));
  const std::string file = folder_.write("bytes", bytes).string();
  const Outcome back = run(with_ + " - < " + file + " | " + HEADLIGHT_PROGRAM + " " + with_ + " --decode -");
  EXPECT_EQ(back.status, 0);
  EXPECT_TRUE(back.output == bytes);
}

TEST_F(Tokenize, ConvertsLines) {
  folder_.write("lines", "\"a b\"\n\"\\n\"\n");
  const std::string file = (folder_ / "lines").string();
  const Outcome ids = run(with_ + " --lines < " + file);
  EXPECT_EQ(ids.status, 0);
  folder_.write("ids", ids.output);
  EXPECT_EQ(run(with_ + " --lines --decode < " + (folder_ / "ids").string()).output, "\"a b\"\n\"\\n\"\n");
}

TEST_F(Tokenize, TrainsWhatItThenUses) {
  const std::string text = "the cat sat on the mat and the cat sat on the hat";
  const std::string file = folder_.write("book.txt", text).string(), out = (folder_ / "out").string();
  EXPECT_EQ(run("tokenize --train " + file + " --vocab-size 270 --out " + out).status, 0);
  const Outcome ids = run("tokenize --tokenizer " + out + " '" + text + "'");
  EXPECT_EQ(ids.status, 0);
  EXPECT_LT(ids.output.size(), 3 * text.size());
  EXPECT_EQ(run("tokenize --tokenizer " + out + " --decode '" + ids.output + "'").output, text + "\n");
}

TEST_F(Tokenize, SaysWhatIsWrong) {
  const auto expect = [](const std::string& arguments, int status, const std::string& says) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.status, status) << arguments;
    EXPECT_NE(outcome.output.find(says), std::string::npos) << outcome.output;
  };
  expect("tokenize", 1, "name a tokenizer with --tokenizer DIR");
  expect(with_, 1, "give a text to tokenize, or - for standard input");
  expect(with_ + " --decode '1 x'", 1, "takes ids like 1 2 3, but was given “x”");
  expect(with_ + " --decode 100000", 1, "there is no token 100000");
  expect("tokenize --tokenizer /nowhere/here a", 1, "\"/nowhere/here\" is no folder and no built-in model");
  expect("tokenize --train /nowhere/here --out " + (folder_ / "o").string(), 1, "does not exist");
  expect("tokenize --train a", 1, "--train needs --out DIR");
  expect("tokenize --vocab-size 10", 2, "--vocab-size");
}

}  // namespace
}  // namespace headlight
