// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_SERVED_MODEL_H_
#define TENSORFERRY_TESTS_TESTING_SERVED_MODEL_H_

#include <memory>
#include <string>
#include <vector>

#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::test {

// A model "m.safetensors" of random bytes, and a server of it in this process. A failure to set it up ends the test
// program.
class ServedModel {
 public:
  static constexpr const char* kName = "m.safetensors";

  ServedModel(const std::vector<TensorSpec>& tensors, Random& random);

  // Returns a client of the server.
  Client Connect(int connections = 1) const;

  const Model& model() const { return *model_; }
  // Returns the bytes of the whole file.
  std::string File() const { return directory_.Read(kName); }
  // Returns the bytes of a tensor.
  std::string Expected(const std::string& tensor) const;

 private:
  TempDir directory_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<server::Server> server_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_SERVED_MODEL_H_
