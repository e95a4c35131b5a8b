#include "signature_request.h"

namespace nest_hsm {
namespace {

thread_local SignatureRequest** current_slot = nullptr;

}  // namespace

SigningScope::SigningScope(SignatureRequest** slot) { current_slot = slot; }
SigningScope::~SigningScope() { current_slot = nullptr; }

bool AwaitSignature(SignatureRequest& request) {
  if (current_slot == nullptr || ASYNC_get_current_job() == nullptr) return false;
  request.state = SignatureRequest::State::kPending;
  *current_slot = &request;
  while (request.state == SignatureRequest::State::kPending) {
    if (ASYNC_pause_job() != 1) {
      *current_slot = nullptr;
      return false;
    }
  }
  return request.state == SignatureRequest::State::kDelivered;
}

}  // namespace nest_hsm
