/** Words of the service domain that several resources share. */
export const SERVICE_KINDS = [
  'install',
  'repair',
  'maintain',
  'consult',
  'return_exchange',
  'software_update',
] as const;
export const SERVICE_MODES = ['remote', 'on_site', 'walk_in', 'mail_in', 'mobile'] as const;
export const CUSTOMER_TIERS = ['standard', 'priority', 'key'] as const;
/** What a fault is like decides its route: remote help, a technician with the part, or a specialist. */
export const FAULT_CLASSES = ['general', 'common', 'difficult'] as const;
export type FaultClass = (typeof FAULT_CLASSES)[number];
