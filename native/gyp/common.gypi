# SPDX-License-Identifier: Apache-2.0
# node-gyp wants a Node's headers and would download them. Ours come with an npm package, through CMake, so it is shown
# this directory instead (node_gyp_nodedir in package.json) and needs no network.
{}
