{
  "variables": { "sanitize%": 0 },
  "targets": [
    {
      "target_name": "data_encryption",
      "sources": [
        "src/base64.cc",
        "src/batch.cc",
        "src/binding.cc",
        "src/cell_key.cc",
        "src/decryption.cc",
        "src/encryption.cc",
        "src/index_key.cc",
        "src/javascript.cc",
        "src/secret_bytes.cc"
      ],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      # SWALLOW: a worker that is ended while an addon loads or works takes no exception any more, and must not take the process with it.
      "defines": ["NAPI_VERSION=8", "NODE_ADDON_API_DISABLE_DEPRECATED", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS", "OPENSSL_API_COMPAT=30000", "OPENSSL_NO_DEPRECATED"],
      "cflags_cc!": ["-std=gnu++20", "-Wno-unused-parameter"],
      "cflags!": ["-Wno-unused-parameter"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-fstack-protector-strong"],
      # A symbol that this Node does not export must fail the load, where it can be reported, not the first call.
      "ldflags": ["-Wl,-z,now", "-Wl,-z,relro"],
      "xcode_settings": {
        "CLANG_CXX_LANGUAGE_STANDARD": "c++17",
        "MACOSX_DEPLOYMENT_TARGET": "13.5",
        "OTHER_CPLUSPLUSFLAGS": ["-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
      },
      "conditions": [
        ["sanitize==1", {
          "cflags_cc": ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer", "-g", "-O1"],
          "cflags_cc!": ["-O3"],
          "ldflags": ["-fsanitize=address,undefined"]
        }]
      ]
    }
  ]
}
