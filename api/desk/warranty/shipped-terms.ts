/**
 * The terms that the program ships: common defaults of the trade, and statutory sets with the dates from which they hold. A tenant
 * replaces them by its own; the law changes and differs in detail, so whoever relies on a statutory set has it checked.
 */
import { type WarrantyTerms, warrantyTerms } from '../../../contract/http/warranty.ts';

const CARS = ['electricVan', 'combustionCar'];
const APPLIANCES = ['refrigerator', 'washingMachine', 'heatPump'];
const CAR_RULES = 'SAMR Order No. 43 (2021), household vehicles, in force from 2022-01-01';
const GOODS_RULES = '部分商品修理更换退货责任规定 (1995)';

export const SHIPPED_TERMS: WarrantyTerms = warrantyTerms.parse({
  region: 'INT',
  clauses: [
    {
      id: 'unit-12-months',
      name: { en: 'Main unit and core parts, 12 months', 'zh-CN': '整机及核心部件，12 个月' },
      item: 'unit',
      months: 12,
      effectiveFrom: '2000-01-01',
    },
    {
      id: 'core-part-12-months',
      name: { en: 'Core part, 12 months', 'zh-CN': '核心部件，12 个月' },
      item: 'core_part',
      months: 12,
      effectiveFrom: '2000-01-01',
    },
    {
      id: 'accessory-3-months',
      name: { en: 'Accessories, 3 months', 'zh-CN': '附件，3 个月' },
      item: 'accessory',
      months: 3,
      effectiveFrom: '2000-01-01',
    },
    {
      id: 'repair-3-months',
      name: { en: 'Fitted part, 3 months', 'zh-CN': '更换部件，3 个月' },
      item: 'unit',
      months: 3,
      from: 'repair',
      // Our own records prove it.
      needsProof: false,
      effectiveFrom: '2000-01-01',
    },
    {
      id: 'eu-conformity-24-months',
      name: { en: 'Legal guarantee of conformity, 24 months', 'zh-CN': '欧盟法定保障，24 个月' },
      item: 'unit',
      regions: ['EU'],
      months: 24,
      statutory: true,
      effectiveFrom: '2022-01-01',
      source: 'Directive (EU) 2019/771, Article 10',
    },
    {
      id: 'cn-car-36-months',
      name: { en: 'Repair warranty of a car, 3 years or 60,000 km', 'zh-CN': '家用汽车包修期，3 年或 6 万公里' },
      item: 'unit',
      models: CARS,
      regions: ['CN'],
      months: 36,
      usage: { counter: 'km', value: 60_000 },
      statutory: true,
      effectiveFrom: '2022-01-01',
      source: CAR_RULES,
    },
  ],
  rights: [
    {
      id: 'cn-car-same-fault',
      name: { en: 'Same fault repaired more than 4 times', 'zh-CN': '同一质量问题累计修理超过 4 次' },
      models: CARS,
      regions: ['CN'],
      counts: 'repairsOfSameFault',
      beyond: 4,
      withinMonths: 24,
      usage: { counter: 'km', value: 50_000 },
      grants: 'replacement_or_refund',
      effectiveFrom: '2022-01-01',
      source: CAR_RULES,
    },
    {
      id: 'cn-car-days',
      name: { en: 'More than 30 days in repair', 'zh-CN': '修理时间累计超过 30 日' },
      models: CARS,
      regions: ['CN'],
      counts: 'daysInRepair',
      beyond: 30,
      withinMonths: 24,
      usage: { counter: 'km', value: 50_000 },
      grants: 'replacement_or_refund',
      effectiveFrom: '2022-01-01',
      source: CAR_RULES,
    },
    {
      id: 'cn-car-loaner',
      name: { en: 'Repair longer than 5 days', 'zh-CN': '单次修理超过 5 日' },
      models: CARS,
      regions: ['CN'],
      counts: 'daysOfThisRepair',
      beyond: 5,
      withinMonths: 36,
      usage: { counter: 'km', value: 60_000 },
      grants: 'loaner',
      effectiveFrom: '2022-01-01',
      source: CAR_RULES,
    },
    {
      id: 'cn-appliance-two-repairs',
      name: { en: 'Not in order after two repairs', 'zh-CN': '修理两次仍不能正常使用' },
      models: APPLIANCES,
      regions: ['CN'],
      counts: 'repairsOfSameFault',
      beyond: 2,
      withinMonths: 12,
      grants: 'replacement',
      effectiveFrom: '1995-08-25',
      source: GOODS_RULES,
    },
  ],
});
