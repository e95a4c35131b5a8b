/** Of the tables of this library on MariaDB: text is compared by octets, and with its trailing spaces. */
export const libraryText = { charset: 'utf8mb4', collation: 'utf8mb4_nopad_bin' } as const;
