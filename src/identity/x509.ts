// SPDX-License-Identifier: Apache-2.0

// @peculiar/x509 finds its parts by reflection, which has to be there before it is loaded.
// oxlint-disable-next-line import/no-unassigned-import -- it is imported for what it does to Reflect
import 'reflect-metadata';

export * from '@peculiar/x509';
