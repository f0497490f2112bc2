# SPDX-License-Identifier: Apache-2.0
# The door that npm looks for: `npm install` and `npm rebuild` come through here to the same build as `npm run build`.
{
  "target_defaults": {
    "default_configuration": "Release",
    "configurations": { "Release": {}, "Debug": {} }
  },
  "targets": [
    {
      "target_name": "groundwire",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "message": "building with CMake (scripts/build.ts)",
          "inputs": [],
          # Never made, so that the action always runs: CMake knows what is out of date, gyp does not.
          "outputs": ["<(PRODUCT_DIR)/always"],
          "action": ["<(module_root_dir)/node_modules/.bin/node", "<(module_root_dir)/scripts/build.ts"]
        }
      ]
    }
  ]
}
