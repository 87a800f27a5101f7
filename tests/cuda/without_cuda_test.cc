// SPDX-License-Identifier: Apache-2.0
// A library that was built without cuda.h.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tensorferry/cuda.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

TEST(WithoutCudaTest, OpeningADeviceSaysHowTheLibraryWasBuilt) {
  EXPECT_THAT(CudaDevice::Open(0),
              test::StatusIs(absl::StatusCode::kUnimplemented, ::testing::HasSubstr("built without CUDA")));
}

}  // namespace
}  // namespace tensorferry
