/**
 * Two-spool turbofan engine, one snapshot a flight. Signals are those of NASA's C-MAPSS recordings, in their order
 * (Saxena et al., "Damage propagation modeling for aircraft engine run-to-failure simulation", PHM 2008, table 2);
 * temperatures, pressures and speeds stay in the units of the recordings.
 */
import { HOUR_MS } from '../kernel/time.ts';
import type { DeviceModel, ModelWords, SignalSpec } from './device-model.ts';

const condition = (name: string, label: string, unit: string, component: string): SignalSpec => ({
  name,
  label,
  unit,
  kind: 'number',
  component,
  role: 'condition',
});
const context = (name: string, label: string, unit: string): SignalSpec => ({
  name,
  label,
  unit,
  kind: 'number',
  component: 'flight',
  role: 'context',
});

const zhCn: ModelWords = {
  name: '涡扇发动机',
  modes: {
    flight: '巡航快照',
  },
  signals: {
    cycle: '飞行循环数',
    altitudeKft: '高度',
    machNumber: '马赫数',
    throttleAngle: '油门解析器角度',
    fanInletTempR: '风扇进口温度（T2）',
    lpcOutletTempR: '低压压气机出口温度（T24）',
    hpcOutletTempR: '高压压气机出口温度（T30）',
    lptOutletTempR: '低压涡轮出口温度（T50）',
    fanInletPressurePsia: '风扇进口压力（P2）',
    bypassDuctPressurePsia: '外涵道压力（P15）',
    hpcOutletPressurePsia: '高压压气机出口压力（P30）',
    fanSpeedRpm: '风扇物理转速（Nf）',
    coreSpeedRpm: '核心机物理转速（Nc）',
    enginePressureRatio: '发动机压比（P50/P2）',
    hpcOutletStaticPressurePsia: '高压压气机出口静压（Ps30）',
    fuelFlowRatio: '燃油流量与 Ps30 之比（phi）',
    correctedFanSpeedRpm: '风扇换算转速（NRf）',
    correctedCoreSpeedRpm: '核心机换算转速（NRc）',
    bypassRatio: '涵道比（BPR）',
    burnerFuelAirRatio: '燃烧室油气比（farB）',
    bleedEnthalpy: '引气焓（htBleed）',
    demandedFanSpeedRpm: '风扇需求转速（Nf_dmd）',
    demandedCorrectedFanSpeedRpm: '风扇需求换算转速（PCNfR_dmd）',
    hptCoolantBleed: '高压涡轮冷却引气（W31）',
    lptCoolantBleed: '低压涡轮冷却引气（W32）',
  },
  components: {
    flight: '飞行状态',
    fan: '风扇',
    lowPressureCompressor: '低压压气机',
    highPressureCompressor: '高压压气机',
    lowPressureTurbine: '低压涡轮',
    combustor: '燃烧室',
    highPressureTurbine: '高压涡轮',
  },
  failureModes: {
    hpcDegradation: {
      name: '高压压气机性能衰退',
      cause: '高压压气机叶片侵蚀、叶尖间隙增大：效率和流量下降',
      effect: '喘振裕度或排气温度裕度耗尽，发动机必须下发',
    },
    fanDegradation: {
      name: '风扇性能衰退',
      cause: '风扇叶片侵蚀或损伤：通流能力下降',
      effect: '推力低于需求，发动机必须下发',
    },
  },
  faultCodes: {
    'EGT-MARGIN': '排气温度裕度过低',
    'N1-DEV': '风扇转速偏离需求值',
  },
  parts: {
    'HPC-BLD-03': '高压压气机 1–3 级叶片组',
    'HPC-SHR-01': '高压压气机外环块',
    'FAN-BLD-01': '风扇叶片组',
  },
};

export const turbofan: DeviceModel = {
  id: 'turbofan',
  name: 'Turbofan engine',
  kind: 'machine',
  intervalMs: HOUR_MS,
  lifeUnit: 'cycle',
  cycleSignal: 'cycle',
  modes: [{ id: 'flight', name: 'Snapshot in cruise' }],
  signals: [
    {
      name: 'cycle',
      label: 'Flight cycles',
      unit: '',
      kind: 'number',
      range: [0, 100_000],
      component: 'flight',
      role: 'counter',
    },
    context('altitudeKft', 'Altitude', 'kft'),
    context('machNumber', 'Mach number', ''),
    context('throttleAngle', 'Throttle resolver angle', '°'),
    condition('fanInletTempR', 'Temperature at fan inlet (T2)', '°R', 'fan'),
    condition('lpcOutletTempR', 'Temperature at LPC outlet (T24)', '°R', 'lowPressureCompressor'),
    condition('hpcOutletTempR', 'Temperature at HPC outlet (T30)', '°R', 'highPressureCompressor'),
    condition('lptOutletTempR', 'Temperature at LPT outlet (T50)', '°R', 'lowPressureTurbine'),
    condition('fanInletPressurePsia', 'Pressure at fan inlet (P2)', 'psia', 'fan'),
    condition('bypassDuctPressurePsia', 'Pressure in bypass duct (P15)', 'psia', 'fan'),
    condition('hpcOutletPressurePsia', 'Pressure at HPC outlet (P30)', 'psia', 'highPressureCompressor'),
    condition('fanSpeedRpm', 'Physical fan speed (Nf)', '1/min', 'fan'),
    condition('coreSpeedRpm', 'Physical core speed (Nc)', '1/min', 'highPressureCompressor'),
    condition('enginePressureRatio', 'Engine pressure ratio (P50/P2)', '', 'fan'),
    condition('hpcOutletStaticPressurePsia', 'Static pressure at HPC outlet (Ps30)', 'psia', 'highPressureCompressor'),
    condition('fuelFlowRatio', 'Fuel flow to Ps30 (phi)', 'pps/psi', 'combustor'),
    condition('correctedFanSpeedRpm', 'Corrected fan speed (NRf)', '1/min', 'fan'),
    condition('correctedCoreSpeedRpm', 'Corrected core speed (NRc)', '1/min', 'highPressureCompressor'),
    condition('bypassRatio', 'Bypass ratio (BPR)', '', 'fan'),
    condition('burnerFuelAirRatio', 'Burner fuel-air ratio (farB)', '', 'combustor'),
    condition('bleedEnthalpy', 'Bleed enthalpy (htBleed)', '', 'highPressureCompressor'),
    condition('demandedFanSpeedRpm', 'Demanded fan speed (Nf_dmd)', '1/min', 'fan'),
    condition('demandedCorrectedFanSpeedRpm', 'Demanded corrected fan speed (PCNfR_dmd)', '1/min', 'fan'),
    condition('hptCoolantBleed', 'HPT coolant bleed (W31)', 'lbm/s', 'highPressureTurbine'),
    condition('lptCoolantBleed', 'LPT coolant bleed (W32)', 'lbm/s', 'lowPressureTurbine'),
  ],
  failureModes: [
    {
      code: 'hpcDegradation',
      name: 'High-pressure compressor degradation',
      component: 'highPressureCompressor',
      cause: 'Blade erosion and tip clearance in the high-pressure compressor: efficiency and flow fall',
      effect: 'Surge or exhaust-gas temperature margin is used up; the engine must come off wing',
      severity: 'major',
      parts: [
        { number: 'HPC-BLD-03', name: 'HPC blade set, stages 1–3', quantity: 1 },
        { number: 'HPC-SHR-01', name: 'HPC shroud segments', quantity: 1 },
      ],
      shows: [
        { signal: 'hpcOutletStaticPressurePsia', direction: 'up', weight: 1 },
        { signal: 'hpcOutletPressurePsia', direction: 'down', weight: 0.9 },
        { signal: 'lptOutletTempR', direction: 'up', weight: 0.9 },
        { signal: 'fuelFlowRatio', direction: 'down', weight: 0.8 },
        { signal: 'bypassRatio', direction: 'up', weight: 0.7 },
        { signal: 'hpcOutletTempR', direction: 'up', weight: 0.7 },
        { signal: 'hptCoolantBleed', direction: 'down', weight: 0.6 },
        { signal: 'lptCoolantBleed', direction: 'down', weight: 0.6 },
      ],
      endOfLife: { signal: 'hpcOutletStaticPressurePsia', direction: 'up', limit: 48.1 },
    },
    {
      code: 'fanDegradation',
      name: 'Fan degradation',
      component: 'fan',
      cause: 'Fan blade erosion or damage: flow capacity falls',
      effect: 'Thrust falls below what is demanded; the engine must come off wing',
      severity: 'major',
      parts: [{ number: 'FAN-BLD-01', name: 'Fan blade set', quantity: 1 }],
      shows: [
        { signal: 'bypassDuctPressurePsia', direction: 'down', weight: 1 },
        { signal: 'bypassRatio', direction: 'down', weight: 0.9 },
        { signal: 'fanSpeedRpm', direction: 'up', weight: 0.8 },
        { signal: 'hpcOutletPressurePsia', direction: 'up', weight: 0.4 },
      ],
      endOfLife: { signal: 'bypassDuctPressurePsia', direction: 'down', limit: 21.5 },
    },
  ],
  faultCodes: [
    { code: 'EGT-MARGIN', text: 'Exhaust-gas temperature margin low', severity: 'major', hintsAt: ['hpcDegradation'] },
    { code: 'N1-DEV', text: 'Fan speed deviates from demand', severity: 'major', hintsAt: ['fanDegradation'] },
  ],
  words: { 'zh-CN': zhCn },
};

/** Columns of a C-MAPSS text file after `unit` and `cycle`, as signal names in file order. */
export const CMAPSS_SIGNALS: readonly string[] = turbofan.signals.slice(1).map((signal) => signal.name);
