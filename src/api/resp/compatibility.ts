/** The version of Redis whose commands and replies Quoin answers with; clients choose their ways by it. */
export const COMPATIBLE_VERSION = '7.2.0';
