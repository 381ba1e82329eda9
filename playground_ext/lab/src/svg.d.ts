declare module '*.svg' {
  const svg: string;
  export default svg;
}
declare module '*.css';
